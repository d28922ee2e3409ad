(* SPDX-License-Identifier: LGPL-2.1-or-later *)
module Test_holdfastd =

  test Holdfastd.lns get "max_clients = 5\nunix_sock_ro_perms = \"0777\"\n# end\n" =
    { "max_clients" = "5" }
    { "unix_sock_ro_perms" = "0777" }
    { "#comment" = "end" }

  test Holdfastd.lns put "log_level = 3\n" after
      set "log_level" "1"; set "log_outputs" "1:stderr 3:journald"; rm "nothing" =
    "log_level = 1\nlog_outputs = \"1:stderr 3:journald\"\n"

  test Holdfastd.lns get "max_clients = \"5\"\n" = *
