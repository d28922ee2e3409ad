/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How holdfastd survives, as a model that spin searches completely.
 *
 * Two clients want one resource (SCENE 1), count (2), or one does this and one that
 * (3); or one counts, and is told of its progress by messages (4). Each client is its VM's
 * own connection. A competitor takes the kernel's lock whenever it is free. Supervisor
 * and server are killed at any step, KILLS times in all. What ends both at once is beyond this model (daemon/recover.c): such a run
 * stops where that happens, and it must have taken two kills.
 *
 * At each MAY_DIE the process may end, for ever. What stands between two of them
 * is one system call, one aligned store, or work on memory that no store has
 * made valid yet. A turn of the server is atomic apart from that: what others do
 * meanwhile (a client sends, reads or closes, the competitor tries) commutes with
 * the server's work on its own memory and descriptors; they come in between turns.
 *
 * What is proven, in every order of events:
 *   answers    each request gets one answer, whole, in order, the right one;
 *              a refusal only while somebody else had the resource  answer_acquire, answer_count
 *   messages   come before the answer of the request that they belong to   answer
 *   one holder the resource is never granted to two                 answer_acquire
 *   no loss    the kernel's lock is ours while a hold is claimed or
 *              a client was told that it has it                     competitor, adopt
 *   no rest    when all is quiet: no lock, no descriptor, no hold
 *              that nobody owns; both processes run                 quiet, renumber
 *   no harm    a VM is ended, and a connection closed, only when
 *              the client closed it                                 end_vm, close_connection
 *   an end     every run comes to an end (tools/check-model searches for a cycle as well)
 *
 * The steps and the code that they stand for:
 *   model                     | code
 *   receive                   | keeper/receipt.c hf_exchange_receive
 *   acquire                   | daemon/acquire.c, storage/resource.c: open, F_OFD_SETLK
 *   prepare, commit           | daemon/session-serve.c set_answer, keeper/receipt.c hf_exchange_commit
 *   apply                     | daemon/intent.c hf_intent_carry_out
 *   give                      | daemon/release.c hf_give, lockspace/table-locks.c RELEASING
 *   tell, told                | daemon/session-serve.c hf_session_tell, keeper/receipt.c hf_exchange_told
 *   send, rest, consume       | keeper/receipt.c hf_exchange_send, hf_exchange_consume
 *   turn, PENDING to OPEN     | daemon/listener.c: accept; daemon/session.c hf_session_new
 *   depart                    | daemon/session.c hf_session_close, daemon/departure.c
 *   reconcile, take_over      | daemon/adopt.c reconcile, on_orphan; keeper/reconcile.c
 *   adopt, "whoever claims"   | daemon/adopt.c settle, lockspace/rebuild.c
 *   adopt, releasing          | daemon/adopt.c give_rest
 *   adopt, complete           | daemon/adopt.c carry_out, before hf_adoption_resume
 *   heir                      | keeper/signals.c on_supervisor_ended, keeper/upgrade.c
 *   clone, reap               | keeper/supervisor.c
 *
 * Each BUG_ switch below makes one step wrong in a way in which somebody could
 * have written it; tests/house/test_model.py proves that spin finds every one.
 */

#ifndef SCENE
#define SCENE 3
#endif
#ifndef KILLS
#define KILLS 2
#endif
#ifndef GRABS
#define GRABS 1
#endif

/* ---- The kernel: what outlives a process. ---- */

/* One descriptor table for both processes; the lowest free number is given out. */
#define NFD 5
#define NONE 7
mtype = { LOCK, POLL, PIDFD };
mtype fds[NFD];

/* Who has the lock on byte 0: nobody, the competitor, or the descriptor HELD(fd). */
#define FREE     0
#define FOREIGN  1
#define HELD(fd) ((fd) + 2)
byte klock;

/* The stream to the server: parts written and taken out; a request is two parts. */
byte sent[2], taken[2];
bit closed[2];
/* The stream from the server: number of the part, and what it says. */
chan out0 = [2] of { byte, byte };
chan out1 = [2] of { byte, byte };
#define OUT_ROOM(c) ((c) == 0 && len(out0) < 2 || (c) == 1 && len(out1) < 2)

/* Pending at the listener, accepted but recorded nowhere, recorded, closed, forgotten. */
mtype = { PENDING, ACCEPTED, OPEN, SHUT, GONE };
mtype conn[2];
bit vm[2];

/* Processes, and the SIGKILLs so far. */
bit sup_runs, cloexec;
byte kills;
bit gone; /* both dead: the model ends */

/* ---- The area: session records. Whatever is read in recovery is here. ---- */

mtype = { ACQUIRE, RELEASE, COUNT };
typedef session {
        bit reply, message, closing; /* of the word, which one store changes; RX and TX: see TURN_RX */
        byte first[2], base[2], came[2]; /* receive slots: number of the first part; receipt */
        byte tbase[2], tlen[2], tend[2]; /* send slots: what went before; receipt; all that goes */
        byte answer;
        mtype intent;
        byte arg; /* of the intent: the descriptor or the number */
};
session s[2];
byte own_pidfd = NONE; /* the supervisor's, which the server must not close */

/* ---- The lock table. ---- */
byte lock_fd = NONE;
bit releasing;
byte claim; /* the hold whose check is right: the owner's number + 1 */
byte counter;

/* ---- What the proof knows and the programs do not. ---- */
mtype op0[4], op1[4]; /* the content of the streams */
bit owed[2]; /* the client was told that it has the resource */
/* A client waits for its ACQUIRE; meanwhile somebody else had the resource. */
#define WAITS   1
#define EXCUSED 2
byte excuse[2];
#define SOMEBODY_HAS_IT(c) excuse[c] = (excuse[c] -> EXCUSED : 0)
byte given; /* numbers that were answered, one bit each */
byte asked, answered;
bit finished[2];

#define OP(c, n)     ((c) == 0 -> op0[n] : op1[n])
#define HAVE(c)      (s[c].base[0] + s[c].came[0])
#define GONE_OUT(c)  (s[c].tbase[0] + s[c].tlen[0])
#define WHOLE(c)     (HAVE(c) >= 2)

inline open_lowest(fd, kind)
{
        if
        :: fds[0] == 0 -> fd = 0
        :: else ->
                if
                :: fds[1] == 0 -> fd = 1
                :: else ->
                        if
                        :: fds[2] == 0 -> fd = 2
                        :: else ->
                                if
                                :: fds[3] == 0 -> fd = 3
                                :: else -> assert(fds[4] == 0); fd = 4
                                fi
                        fi
                fi
        fi;
        fds[fd] = kind
}

/* close(2) of one number: the kernel drops the lock with the description. */
inline close_fd(fd)
{
        fds[fd] = 0;
        if
        :: klock == HELD(fd) -> klock = FREE
        :: else
        fi
}

/* ---- The server. ---- */

#define MAY_DIE       if :: true :: kills < KILLS -> kills++; goto dead fi
#define MAY_DIE_ALONE if :: true :: kills < KILLS -> kills++; goto all_dead fi

/*
 * The word's bit RX or TX turns: one store. Slot 0 is always the one in use: which
 * of the two that is makes no difference, and what was left is never looked at again,
 * so spin need not tell those states apart.
 */
#define TURN_RX(c) \
        s[c].first[0] = s[c].first[1]; \
        s[c].base[0] = s[c].base[1]; \
        s[c].came[0] = s[c].came[1]; \
        s[c].first[1] = 0; \
        s[c].base[1] = 0; \
        s[c].came[1] = 0
#define TURN_TX(c) \
        s[c].tbase[0] = s[c].tbase[1]; \
        s[c].tlen[0] = s[c].tlen[1]; \
        s[c].tend[0] = s[c].tend[1]; \
        s[c].tbase[1] = 0; \
        s[c].tlen[1] = 0; \
        s[c].tend[1] = 0

inline receive()
{
        s[c].first[1] = s[c].first[0];
        s[c].base[1] = HAVE(c);
        s[c].came[1] = 0;
        MAY_DIE;
        TURN_RX(c);
        MAY_DIE;
        /* recvmmsg: the data and the receipt land in one call. Some of it, or all. */
        assert(taken[c] == s[c].first[0] + HAVE(c));
        if
        :: n = 1
        :: sent[c] - taken[c] > 1 -> n = sent[c] - taken[c]
        fi;
        taken[c] = taken[c] + n;
#ifdef BUG_INPUT_WITHOUT_RECEIPT
        MAY_DIE;
#endif
        s[c].came[0] = n
}

/* The claimed lock goes: each step may be done again by whoever finds RELEASING. */
inline give()
{
#ifndef BUG_NO_RELEASING
        releasing = 1;
        MAY_DIE;
#endif
        if
        :: lock_fd != NONE && klock == HELD(lock_fd) -> klock = FREE
        :: else
        fi;
        MAY_DIE;
        /* The number may be another descriptor's by now: only the lock's is closed. */
        if
#ifdef BUG_CLOSES_UNCHECKED
        :: lock_fd != NONE && fds[lock_fd] != 0 -> close_fd(lock_fd)
#else
        :: lock_fd != NONE && fds[lock_fd] == LOCK -> close_fd(lock_fd)
#endif
        :: else
        fi;
        MAY_DIE;
#ifdef BUG_RECORD_FREED_FIRST
        releasing = 0;
        lock_fd = NONE;
        MAY_DIE;
        claim = 0
#else
        claim = 0;
        MAY_DIE;
        releasing = 0;
        lock_fd = NONE
#endif
}

/* The committed intent of c: each kind may be applied again. */
inline apply()
{
        if
        :: s[c].intent == ACQUIRE -> lock_fd = s[c].arg; MAY_DIE; claim = c + 1
        :: s[c].intent == RELEASE ->
                if
                :: claim == c + 1 || releasing -> give()
                :: else
                fi
        :: s[c].intent == COUNT -> counter = s[c].arg
        fi;
#ifndef BUG_INTENT_STAYS
        MAY_DIE;
        s[c].intent = 0;
        s[c].arg = 0
#endif
}

/* An answer is two parts, and so is a message; an answer goes behind a message that has not gone. */
inline prepare(result, what, with)
{
        s[c].answer = result;
#ifdef BUG_ANSWER_FORGETS_MESSAGE
        s[c].tbase[1] = 0;
        s[c].tend[1] = 2;
#else
        s[c].tbase[1] = (s[c].message -> GONE_OUT(c) : 0);
        s[c].tend[1] = 2 * s[c].message + 2;
#endif
#ifdef BUG_END_IN_PLACE
        s[c].tend[0] = s[c].tend[1];
#endif
        s[c].tlen[1] = 0;
        MAY_DIE;
        s[c].intent = what;
        s[c].arg = with
}

inline commit()
{
        MAY_DIE;
        s[c].reply = 1;
        s[c].message = 0;
        TURN_TX(c);
        if
        :: s[c].intent == ACQUIRE -> SOMEBODY_HAS_IT(1 - c)
        :: else
        fi;
        MAY_DIE
}

/* Who waits for a number may be told so first. */
#define MAY_TELL(c) (SCENE == 4)

#define TOLD    31
#define OK      1
#define REFUSED 2
#define NUMBER  3 /* and up: the answer to COUNT */

/* Opens the resource and tries its lock: until the commit nobody recorded that descriptor. */
inline acquire()
{
        if
        :: claim == c + 1 -> prepare(OK, 0, 0)
        :: claim == 2 - c -> prepare(REFUSED, 0, 0)
        :: claim == 0 ->
                d_step { open_lowest(n, LOCK) }
                MAY_DIE;
                if
                :: klock == FREE -> klock = HELD(n); MAY_DIE; prepare(OK, ACQUIRE, n)
                :: klock != FREE -> fds[n] = 0; MAY_DIE; prepare(REFUSED, 0, 0)
                fi
        fi
}

/* Before its answer: a message, which takes the place where an answer would be. */
inline tell()
{
        s[c].tbase[1] = 0;
        s[c].tlen[1] = 0;
        s[c].tend[1] = 2;
        MAY_DIE;
        s[c].message = 1;
        TURN_TX(c)
}

/* It has gone. */
inline told()
{
#ifdef BUG_MESSAGE_ENDS_REQUEST
        s[c].message = 0;
        consume()
#else
        s[c].message = 0;
        s[c].tbase[0] = 0;
        s[c].tlen[0] = 0;
        s[c].tend[0] = 0
#endif
}

/* A request that is not committed changed nothing that matters. */
inline judge()
{
        if
        :: OP(c, s[c].first[0] / 2) == ACQUIRE -> acquire()
        :: OP(c, s[c].first[0] / 2) == RELEASE ->
                if
#ifdef BUG_APPLIED_BEFORE_COMMIT
                :: claim == c + 1 -> give(); MAY_DIE; prepare(OK, 0, 0)
#else
                :: claim == c + 1 -> prepare(OK, RELEASE, 0)
#endif
                :: else -> prepare(REFUSED, 0, 0)
                fi
        :: OP(c, s[c].first[0] / 2) == COUNT ->
#ifdef BUG_COMMIT_BEFORE_INTENT
                n = counter + 1;
                prepare(NUMBER + n, 0, 0);
                commit();
                s[c].intent = COUNT;
                s[c].arg = n;
                goto committed
#else
                prepare(NUMBER + counter + 1, COUNT, counter + 1)
#endif
        fi;
        commit();
committed:
        if
        :: s[c].intent -> apply()
        :: else
        fi
}

/* What stands ends with the two parts of an answer, or is a message. */
#define IS_TOLD(c, at) (!s[c].reply || (at) + 2 < s[c].tend[0])
#define PART(c, at)    (s[c].first[0] + (IS_TOLD(c, at) -> (at) : (at) + 2 - s[c].tend[0]))
#define SAYS(c, at)    (IS_TOLD(c, at) -> TOLD : s[c].answer)

inline send_part(i)
{
        if
        :: c == 0 -> out0 ! PART(c, GONE_OUT(c) + i), SAYS(c, GONE_OUT(c) + i)
        :: else -> out1 ! PART(c, GONE_OUT(c) + i), SAYS(c, GONE_OUT(c) + i)
        fi
}

/* sendmmsg: what goes out and the receipt are one. A part, or the whole, as room allows. */
inline send()
{
        send_part(0);
        n = 1;
        if
        :: GONE_OUT(c) + 1 < s[c].tend[0] && OUT_ROOM(c) -> send_part(1); n = 2
        :: true
        fi;
#ifdef BUG_OUTPUT_WITHOUT_RECEIPT
        MAY_DIE;
#endif
        s[c].tlen[0] = n
}

/* A part of the answer went: the rest is for the other slot. */
inline rest()
{
#ifdef BUG_ADDED_UP_IN_PLACE
        s[c].tbase[0] = GONE_OUT(c);
        MAY_DIE;
        s[c].tlen[0] = 0
#else
        s[c].tbase[1] = GONE_OUT(c);
        s[c].tlen[1] = 0;
        s[c].tend[1] = s[c].tend[0];
        MAY_DIE;
        TURN_TX(c)
#endif
}

/* The request is done with: what is behind it is now the begin of the other slot. */
inline consume()
{
        s[c].first[1] = s[c].first[0] + 2;
        s[c].base[1] = HAVE(c) - 2;
        s[c].came[1] = 0;
        MAY_DIE;
        s[c].reply = 0;
#ifdef BUG_TWO_STORES
        MAY_DIE;
#endif
        TURN_RX(c);
        s[c].answer = 0;
        s[c].tbase[0] = 0;
        s[c].tlen[0] = 0;
        s[c].tend[0] = 0
}

inline end_vm()
{
        if
        :: claim == c + 1 && vm[c] -> assert(closed[c]); vm[c] = 0
        :: else
        fi
}

inline close_connection()
{
        assert(closed[c]);
        conn[c] = SHUT;
        MAY_DIE;
        s[c].closing = 0;
        s[c].reply = 0;
        s[c].message = 0;
        s[c].answer = 0;
        s[c].tbase[0] = 0;
        s[c].tlen[0] = 0;
        s[c].tend[0] = 0;
        s[c].first[0] = 0;
        s[c].base[0] = 0;
        s[c].came[0] = 0;
        conn[c] = GONE
}

/* The client closed, which is in the word: the effects may be done again. */
inline depart()
{
#ifdef BUG_CLOSES_BEFORE_EFFECTS
        close_connection();
        MAY_DIE;
        end_vm()
#else
        end_vm();
        MAY_DIE;
        close_connection()
#endif
}

#define ALL_GONE(c) (GONE_OUT(c) == s[c].tend[0])
#define STANDS(c) (s[c].reply || s[c].message)
#define HUNG_UP(c) (closed[c] && (s[c].reply || !WHOLE(c) && sent[c] == taken[c]))
#define READY(c) \
        (conn[c] == PENDING || \
         conn[c] == OPEN && (HUNG_UP(c) || \
                             s[c].reply && (ALL_GONE(c) || s[c].tlen[0] || OUT_ROOM(c)) || \
                             !s[c].reply && (WHOLE(c) || sent[c] > taken[c])) || \
         conn[c] == GONE && claim == c + 1 && !vm[c])

/* One step of one connection that can do something. */
inline turn()
{
        if
        :: conn[c] == PENDING -> conn[c] = ACCEPTED; MAY_DIE; conn[c] = OPEN
        :: conn[c] == GONE -> give() /* the owner is dead and nobody has its connection */
        :: conn[c] == OPEN && HUNG_UP(c) ->
#ifndef BUG_CLOSES_BEFORE_EFFECTS
                s[c].closing = 1;
                MAY_DIE;
#endif
                depart()
        :: conn[c] == OPEN && !HUNG_UP(c) ->
                if
                :: s[c].reply && ALL_GONE(c) -> consume()
                :: s[c].message && ALL_GONE(c) -> told()
                :: STANDS(c) && !ALL_GONE(c) && s[c].tlen[0] -> rest()
                :: STANDS(c) && !ALL_GONE(c) && !s[c].tlen[0] && OUT_ROOM(c) -> send()
                :: !STANDS(c) && MAY_TELL(c) && WHOLE(c) -> tell()
                :: !s[c].reply && WHOLE(c) -> judge()
                :: !s[c].reply && !WHOLE(c) -> receive()
                fi
        fi
}

#ifdef BUG_UNCOMMITTED_APPLIED
#define COMMITTED(c) (s[c].intent)
#else
#define COMMITTED(c) (s[c].reply && s[c].intent)
#endif
#ifdef BUG_INTENT_NOT_IN_KEEP_SET
#define INTENDED(c, fd) false
#else
#define INTENDED(c, fd) (COMMITTED(c) && s[c].intent == ACQUIRE && s[c].arg == fd)
#endif

#define RECORDED(fd) \
        (fd == poll || fd == own_pidfd || INTENDED(0, fd) || INTENDED(1, fd) || \
         (claim || releasing) && fd == lock_fd && fds[fd] == LOCK)

#ifdef BUG_ORPHAN_KEPT
#define LEAVES(fd) (fds[fd] == 0 || fds[fd] == LOCK || RECORDED(fd))
#else
#define LEAVES(fd) (fds[fd] == 0 || RECORDED(fd))
#endif

/* Closes what nobody recorded. */
inline reconcile()
{
        n = 0;
        do
        :: n < NFD ->
                d_step {
                        do
                        :: n < NFD && LEAVES(n) -> n++
                        :: else -> break
                        od;
                        if
                        :: n < NFD -> close_fd(n)
                        :: else
                        fi
                }
                MAY_DIE
        :: else -> break
        od
}

/* A connection that was accepted and recorded nowhere: nothing was read from it. */
inline take_over()
{
        if
#ifdef BUG_NEW_CONNECTION_CLOSED
        :: conn[c] == ACCEPTED -> assert(closed[c])
#else
        :: conn[c] == ACCEPTED -> conn[c] = OPEN; MAY_DIE
#endif
        :: else
        fi
}

/* What was committed is completed. */
inline complete()
{
        if
        :: COMMITTED(c) -> apply(); MAY_DIE
        :: else
        fi;
        if
        :: s[c].closing -> depart(); MAY_DIE
        :: else
        fi
}

inline adopt()
{
        reconcile();
        c = 0;
        do
        :: c < 2 -> take_over(); c++
        :: else -> break
        od;
        /* Whoever claims has the lock. */
        assert(!claim || releasing ||
               lock_fd != NONE && fds[lock_fd] == LOCK && klock == HELD(lock_fd));
        if
        :: releasing -> give(); MAY_DIE
        :: else
        fi;
        c = 0;
        do
        :: c < 2 ->
                complete();
#ifdef BUG_SERVES_BEFORE_ALL_IS_APPLIED
                do
                :: c == 0 && READY(0) && !s[0].reply && conn[0] != GONE -> turn(); n = 0
                :: true -> break
                od;
#endif
                c++
        :: else -> break
        od
}

/*
 * Which numbers the descriptors got makes no difference while nothing is closed, so
 * spin need not tell it apart: the pidfd becomes 0, the server's own 1, the lock's 2.
 */
inline renumber()
{
        d_step {
                n = 0;
                do
                :: n < NFD ->
                        if
                        :: fds[n] == LOCK -> assert(lock_fd == n && klock == HELD(n))
                        :: fds[n] == POLL -> assert(poll == n)
                        :: fds[n] == PIDFD -> assert(own_pidfd == n)
                        :: else
                        fi;
                        fds[n] = 0;
                        n++
                :: else -> break
                od;
                n = 0;
                assert(poll != NONE && own_pidfd != NONE);
                own_pidfd = 0;
                fds[0] = PIDFD;
                poll = 1;
                fds[1] = POLL;
                if
                :: lock_fd != NONE -> lock_fd = 2; fds[2] = LOCK; klock = HELD(2)
                :: else
                fi
        }
}

/* The supervisor died: everything that stays loses its close-on-exec, then exec. */
inline heir()
{
#ifndef BUG_HEIR_WITHOUT_KEEPING
        cloexec = 0;
        MAY_DIE_ALONE;
#endif
        n = 0;
        do
        :: n < NFD ->
                if
                :: fds[n] == POLL || fds[n] == PIDFD || fds[n] == LOCK && cloexec -> close_fd(n)
                :: else
                fi;
                n++
        :: else -> break
        od;
        assert(!cloexec || conn[0] != OPEN && conn[1] != OPEN);
        own_pidfd = NONE;
        cloexec = 1
}

/* The supervisor: it closes nothing that is not its own. */
inline reap()
{
        assert(fds[own_pidfd] == PIDFD);
        fds[own_pidfd] = 0;
        own_pidfd = NONE
}

inline clone()
{
        d_step { open_lowest(n, PIDFD) }
#ifdef BUG_PIDFD_NOTED_LATER
        noted_later = n;
#else
        /* clone3: the kernel writes the number before the child runs. */
        own_pidfd = n;
#endif
        n = 0
}

/*
 * Supervisor and server. What the others do while no server serves commutes with
 * recovery, which looks at neither streams nor ends of connections and only ever
 * gives the kernel's lock back: so from death to service is one atomic sequence.
 */
proctype programs()
{
        byte c, n, poll = NONE, noted_later = NONE;

end_serve:
        atomic {
                if
                :: !sup_runs && !gone -> cloexec = 1; sup_runs = 1; goto start
                :: READY(0) && sup_runs -> c = 0
                :: READY(1) && sup_runs -> c = 1
                :: sup_runs && kills < KILLS -> kills++; goto orphaned
                :: sup_runs && kills < KILLS -> kills++; goto dead
                fi;
                turn();
                assert(fds[poll] == POLL);
                goto served;
orphaned:       /* the supervisor died */
#ifdef BUG_DIES_WITH_SUPERVISOR
                goto all_dead;
#endif
                heir();
                MAY_DIE_ALONE;
                goto start;
dead:           /* the server died; the supervisor may be killed before it has another one */
                c = 0;
                n = 0;
                MAY_DIE_ALONE;
                reap();
start:
                clone();
                poll = NONE;
                d_step { open_lowest(poll, POLL) }
                MAY_DIE;
                adopt();
#ifdef BUG_PIDFD_NOTED_LATER
                own_pidfd = noted_later;
                noted_later = NONE;
#endif
                assert(fds[poll] == POLL && fds[own_pidfd] == PIDFD);
                renumber();
                goto served;
all_dead:
                gone = 1;
                sup_runs = 0;
                poll = NONE;
served:
                c = 0;
                n = 0
        }
        goto end_serve
}

/* ---- The others. ---- */

proctype competitor()
{
        byte grabs;

end:
        do
        :: atomic {
                klock == FREE && grabs < GRABS && !gone ->
                assert(!owed[0] && !owed[1]);
                assert(!claim || releasing);
                klock = FOREIGN;
                SOMEBODY_HAS_IT(0);
                SOMEBODY_HAS_IT(1);
                grabs++
           }
        :: klock == FOREIGN -> klock = FREE
        od
}

inline write_request(what)
{
        if
        :: me == 0 -> op0[next] = what
        :: else -> op1[next] = what
        fi;
        if
        :: what == ACQUIRE ->
                excuse[me] = (klock == FOREIGN || claim == 2 - me ||
                              s[1 - me].reply && s[1 - me].intent == ACQUIRE -> EXCUSED : WAITS)
        :: what == RELEASE -> owed[me] = 0
        :: what == COUNT -> asked++
        fi;
        next++;
        sent[me] = sent[me] + 2
}

inline ask(what)
{
        d_step { write_request(what) }
}

/* Both at once. */
inline ask_two(what, also)
{
        d_step { write_request(what); write_request(also) }
}

/* The answer to request `got`: both halves, in order, once. */
inline hear(half)
{
        if
        :: me == 0 -> out0 ? k, r
        :: else -> out1 ? k, r
        fi;
        assert(k == 2 * got + half)
}

inline answer()
{
        do
        :: atomic {
                hear(0);
                if
                :: r == TOLD -> k = 0; r = 0
                :: else -> first = r; break
                fi
           }
           atomic { hear(1); assert(r == TOLD); k = 0; r = 0 }
        od;
        atomic {
                hear(1);
                assert(r == first);
                k = 0;
                first = 0;
                got++
        }
}

inline answer_acquire()
{
        atomic {
                answer();
                if
                :: r == OK -> assert(!owed[1 - me]); owed[me] = 1
                :: else -> assert(r == REFUSED && excuse[me] == EXCUSED)
                fi;
                excuse[me] = 0
        }
}

inline answer_count()
{
        atomic {
                answer();
                assert(r > NUMBER && !(given & (1 << (r - NUMBER))));
                given = given | (1 << (r - NUMBER));
                answered++;
                r = 0
        }
}

inline hang_up()
{
        d_step { owed[me] = 0; r = 0; closed[me] = 1; finished[me] = 1 }
}

/* With the lock or without; in the first case its VM is ended. */
proctype locker(bit me)
{
        byte next, got, k, r, first;

        conn[me] = PENDING;
        ask(ACQUIRE);
        answer_acquire();
        if
        :: true
        :: r == OK -> ask(RELEASE); answer(); assert(r == OK)
        :: r != OK -> ask(RELEASE); answer(); assert(r == REFUSED)
        fi;
        hang_up()
}

proctype teller(bit me)
{
        byte next, got, k, r, first;

        conn[me] = PENDING;
        ask_two(COUNT, COUNT);
        answer_count();
        if
        :: answer_count()
        :: true /* leaves without its answer */
        fi;
        hang_up()
}

/* Nothing can happen any more. */
active proctype quiet()
{
        byte n, count_open;

        timeout ->
        if
        :: gone -> assert(kills >= 2)
        :: else ->
                assert(finished[0] && finished[1]);
                assert(conn[0] == GONE && conn[1] == GONE);
                assert(sup_runs);
                assert(!claim && !releasing && lock_fd == NONE);
                assert(klock == FREE);
                assert(answered <= counter && counter <= asked);
                n = 0;
                do
                :: n < NFD -> assert(fds[n] != LOCK); count_open = count_open + (fds[n] != 0); n++
                :: else -> break
                od;
                assert(count_open == 2) /* the server's own and the supervisor's pidfd */
        fi
}

init {
        atomic {
                vm[0] = 1;
                vm[1] = 1;
                run programs();
                run competitor();
#if SCENE == 1
                run locker(0);
                run locker(1)
#elif SCENE == 2
                run teller(0);
                run teller(1)
#elif SCENE == 4
                conn[1] = GONE;
                finished[1] = 1;
                run teller(0)
#else
                run locker(0);
                run teller(1)
#endif
        }
}
