(* SPDX-License-Identifier: LGPL-2.1-or-later *)
module Test_holdfast_pr_policy =

  let conf = "rules = [ \"allow vm=db\", # the database
  \"deny\", ]
nexus = \"vm\"
"

  test Holdfast_pr_policy.lns get conf =
    { "rules"
      { "1" = "allow vm=db" }
      { "2" = "deny" } }
    { "nexus" = "vm" }

  test Holdfast_pr_policy.lns put conf after
      set "rules/2" "deny user=1"; set "rules/3" "deny action=clear" =
    "rules = [ \"allow vm=db\", # the database
  \"deny user=1\", \"deny action=clear\", ]
nexus = \"vm\"
"

  test Holdfast_pr_policy.lns get "rules = [\"deny\"]\n" = { "rules" { "1" = "deny" } }
  test Holdfast_pr_policy.lns get "nexus = \"host,vm\"\n" = *
  test Holdfast_pr_policy.lns get "rule = [ \"deny\" ]\n" = *
