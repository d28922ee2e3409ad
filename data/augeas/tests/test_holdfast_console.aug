(* SPDX-License-Identifier: LGPL-2.1-or-later *)
module Test_holdfast_console =

  test Holdfast_console.lns get "lock_files = \"off\"\nscrollback = 64\n# end\n" =
    { "lock_files" = "off" }
    { "scrollback" = "64" }
    { "#comment" = "end" }

  test Holdfast_console.lns put "log_max_size = 3\n" after
      set "log_max_size" "1"; set "log_directory" "/srv/logs" =
    "log_max_size = 1\nlog_directory = \"/srv/logs\"\n"

  test Holdfast_console.lns get "max_clients = \"5\"\n" = *
