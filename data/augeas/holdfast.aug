(* SPDX-License-Identifier: LGPL-2.1-or-later *)

(* holdfast.conf: settings of everything that takes locks, see holdfast.conf(5). *)
module Holdfast =
  autoload xfm

  (* Whatever may stand behind a value stays there. *)
  let eol = del /[ \t]*(;[ \t]*|#[^\n]*)?\n/ "\n"
  let blank = del /[ \t]*/ ""
  let equals = del /[ \t]*=[ \t]*/ " = "

  (* What Holdfast itself accepts as a value of each kind, on one line. *)
  let text = del /"/ "\"" . store /[^"\n]*/ . del /"/ "\""
  let switch = store /[01]/
  let number = store /[0-9]+/
  let word (words:regexp) = del /"/ "\"" . store words . del /"/ "\""

  let setting (name:regexp) (value:lens) = [ blank . key name . equals . value . eol ]

  let entry = setting "lock_manager" text
            | setting "keep_descriptors" switch
            | setting "on_lost" (word /warn|pause|kill/)
            | setting "monitor" switch
            | setting "libvirt_metadata_lock" switch
            | setting "auto_disk_leases" switch
            | setting "require_lease_for_disks" switch
            | setting "file_lockspace_dir" text
            | setting "lvm_lockspace_dir" text
            | setting "scsi_lockspace_dir" text
            | setting "disk_lease_dir" text
            | setting "host_id" number
            | setting "io_timeout" number
            | setting "user" text
            | setting "group" text

  let comment = [ label "#comment" . del /[ \t]*#[ \t]*/ "# "
                . store /([^ \t\n][^\n]*)?/ . del /\n/ "\n" ]
  let empty = [ del /[ \t]*\n/ "\n" ]

  let lns = ( entry | comment | empty )*

  let filter = incl "/etc/holdfast/holdfast.conf" . Util.stdexcl
  let xfm = transform lns filter
