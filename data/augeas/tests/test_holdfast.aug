(* SPDX-License-Identifier: LGPL-2.1-or-later *)
module Test_holdfast =

  let conf = "# The lock driver.
#lock_manager = \"lockd\"

lock_manager = \"lockd\"
 on_lost=\"kill\" ;
auto_disk_leases = 0 # not yet
file_lockspace_dir = \"/var/lib/locks\"
host_id = 17
user = \"sanlock\"
"

  test Holdfast.lns get conf =
    { "#comment" = "The lock driver." }
    { "#comment" = "lock_manager = \"lockd\"" }
    { }
    { "lock_manager" = "lockd" }
    { "on_lost" = "kill" }
    { "auto_disk_leases" = "0" }
    { "file_lockspace_dir" = "/var/lib/locks" }
    { "host_id" = "17" }
    { "user" = "sanlock" }

  (* What is set is added behind the rest, and what is changed stays in its place. *)
  test Holdfast.lns put "monitor = 1\n" after
      set "monitor" "0"; set "scsi_lockspace_dir" "/x"; set "on_lost" "warn" =
    "monitor = 0
scsi_lockspace_dir = \"/x\"
on_lost = \"warn\"
"

  (* What Holdfast would refuse cannot be written. *)
  test Holdfast.lns get "on_lost = \"later\"\n" = *
  test Holdfast.lns get "monitor = 2\n" = *
  test Holdfast.lns get "host_id = \"1\"\n" = *
  test Holdfast.lns get "no_such_key = 1\n" = *
