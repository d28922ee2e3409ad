(* SPDX-License-Identifier: LGPL-2.1-or-later *)

(* pr-policy.conf: settings of the helper for persistent reservations, see pr-policy.conf(5). *)
module Holdfast_pr_policy =
  autoload xfm

  let setting = Holdfast.setting
  let text = Holdfast.text
  let number = store /[0-9]+/

  (* A list, or one string, which is a list of one. Its items are numbered. *)
  let gap = del /([ \t\n]|#[^\n]*\n)*/ " "
  let comma = del /([ \t\n]|#[^\n]*\n)*,([ \t\n]|#[^\n]*\n)*/ ", "
  let last_comma = del /(([ \t\n]|#[^\n]*\n)*,)?([ \t\n]|#[^\n]*\n)*/ " "
  let quoted = [ seq "item" . del /"/ "\"" . store /[^"\n]*/ . del /"/ "\"" ]
             | [ seq "item" . del /'/ "'" . store /[^'\n]*"[^'\n]*/ . del /'/ "'" ]
  let list = counter "item" . del /\[/ "[" . gap . quoted . ( comma . quoted )* . last_comma
           . del /\]/ "]"

  let entry = setting "rules" list
            | setting "emulate" list
            | setting "backends" list
            | setting "emulation_database" text
            | setting "emulation_dir" text
            | setting "nexus" (Holdfast.word /host|vm/)
            | setting "host_name" text
            | setting "max_clients" number
            | setting "max_user_clients" number
            | setting "request_timeout" number
            | setting "socket_group" text
            | setting "socket_mode" (Holdfast.word /[0-7]+/)
            | setting "log_level" number
            | setting "log_filters" text
            | setting "log_outputs" text

  let lns = ( entry | Holdfast.comment | Holdfast.empty )*

  let filter = incl "/etc/holdfast/pr-policy.conf" . Util.stdexcl
  let xfm = transform lns filter
