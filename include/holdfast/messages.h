/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HOLDFAST_MESSAGES_H
#define HOLDFAST_MESSAGES_H

/*
 * The journal's MESSAGE_ID of each kind of event that holdfastd writes there, for
 * journalctl MESSAGE_ID=..., and for catalogs. They never change. holdfast-events(7) tells which
 * fields come with them, and pr-policy.conf(5) of the last.
 */

/* a lock was granted */
#define HOLDFAST_MESSAGE_ACQUIRED "055f391d844e488f836b81d2a675b6ce"
/* a request waits in line */
#define HOLDFAST_MESSAGE_WAITING "9bdacea49db844cd9c7e2a4fa2d402cc"
/* somebody else has it */
#define HOLDFAST_MESSAGE_REFUSED "e4ffac981a674a48b5305f15c1872b5c"
/* a lock was given back */
#define HOLDFAST_MESSAGE_RELEASED "fb3d8b5495e140d2a4d0c6a2d4bb4fc1"
/* a VM is ended, as it closed its lock connection or lost a lock */
#define HOLDFAST_MESSAGE_KILLED "a9b177f0d5d945feaeb576670290bf0c"
/* a lock is held no more, with the lease of its file server */
#define HOLDFAST_MESSAGE_LOST "964b86cf1a51457fa3c3c7e230534a42"
/* a file server is silent, and locks may be lost */
#define HOLDFAST_MESSAGE_DOUBTED "36b3173a56e248d7bb5406e71c7c7db8"
/* a server began to serve */
#define HOLDFAST_MESSAGE_STARTED "d1150b6f18364e589a5f290b2ce22c4c"
/* holdfast-pr-helper: who changed a persistent reservation, or wanted to */
#define HOLDFAST_MESSAGE_PR_OUT "948ba949f43f460cb38869acabedc9cd"

#endif
