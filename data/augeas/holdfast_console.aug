(* SPDX-License-Identifier: LGPL-2.1-or-later *)

(* console.conf: settings of the daemon of consoles, see console.conf(5). *)
module Holdfast_console =
  autoload xfm

  let number = store /[0-9]+/

  let setting = Holdfast.setting
  let text = Holdfast.text

  let entry = setting "lock_files" text
            | setting "log_directory" text
            | setting "log_max_size" number
            | setting "log_max_backups" number
            | setting "scrollback" number
            | setting "max_consoles" number
            | setting "max_clients" number
            | setting "unix_sock_group" text
            | setting "unix_sock_rw_perms" text
            | setting "unix_sock_ro_perms" text
            | setting "log_level" number
            | setting "log_filters" text
            | setting "log_outputs" text

  let lns = ( entry | Holdfast.comment | Holdfast.empty )*

  let filter = incl "/etc/holdfast/console.conf" . Util.stdexcl
  let xfm = transform lns filter
