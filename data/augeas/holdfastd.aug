(* SPDX-License-Identifier: LGPL-2.1-or-later *)

(* holdfastd.conf: settings of the lock daemon, see holdfastd.conf(5). *)
module Holdfastd =
  autoload xfm

  let number = store /[0-9]+/

  let setting = Holdfast.setting
  let text = Holdfast.text

  let entry = setting "max_clients" number
            | setting "admin_max_clients" number
            | setting "filesystem_timeout" number
            | setting "log_level" number
            | setting "log_filters" text
            | setting "log_outputs" text
            | setting "unix_sock_group" text
            | setting "unix_sock_ro_perms" text
            | setting "on_lost" (Holdfast.word /warn|pause|kill/)
            | setting "holder_records" Holdfast.switch

  let lns = ( entry | Holdfast.comment | Holdfast.empty )*

  let filter = incl "/etc/holdfast/holdfastd.conf" . Util.stdexcl
  let xfm = transform lns filter
