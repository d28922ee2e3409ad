/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Messages: the frames of libvirt's RPC, encoded and decoded once, here.
 *
 * A message is a length word (the whole message, itself included), a header of
 * six words and a payload in XDR. Bytes become bounded typed structs in this
 * module and nowhere else. XDR decoding allocates strings and arrays; whoever
 * decodes frees with hf_rpc_free.
 */

#include "base/error.h"
#include "rpc/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The length word. */
#define HF_RPC_LENGTH_SIZE 4

/* Length word and header: what every message has. */
#define HF_RPC_HEADER_SIZE 28

/* Largest body behind the length word that libvirt 9 accepts; its limit is ours. */
#define HF_RPC_BODY_MAX 33554432

/*
 * The most of one request that any procedure can look at: header, two strings
 * of the lock program's bound with their length words, a path, a thing and flags.
 * Whatever a legal frame carries behind that is surplus and is skipped unread.
 */
#define HF_RPC_REQUEST_KEPT (HF_RPC_HEADER_SIZE + 2 * (65536 + 4) + (4096 + 4) + 64)

/* The total length that a length word announces, or -EBADMSG if no legal frame has it. */
int64_t hf_rpc_length(const uint8_t word[static HF_RPC_LENGTH_SIZE]);

/* Decodes the header of a message of at least HF_RPC_HEADER_SIZE bytes. */
void hf_rpc_get_header(const uint8_t *message, struct hf_rpc_header *ret);

/*
 * What a message has to do with keepalive, which runs beside every program: 1, it is a ping, and
 * *ret_pong the header that answers it; 0, it is nothing that concerns a server; -1, it is of
 * another program.
 */
int hf_rpc_keepalive(const struct hf_rpc_header *header, struct hf_rpc_header *ret_pong);

/*
 * Decodes a payload into *out, a zeroed struct of the type that proc is for.
 * Bytes behind what proc needs are ignored. On failure (-EBADMSG) nothing is
 * left allocated.
 */
int hf_rpc_get_payload(const uint8_t *payload, size_t len, xdrproc_t proc, void *out,
                       struct hf_error *err);

/* Frees what hf_rpc_get_payload allocated in *decoded. */
void hf_rpc_free(xdrproc_t proc, void *decoded);

/*
 * Encodes a whole message into buf: header and, if proc is not NULL, payload.
 * Returns its length, or -EMSGSIZE if it is larger than cap.
 */
int hf_rpc_put(uint8_t *buf, size_t cap, const struct hf_rpc_header *header, xdrproc_t proc,
               const void *payload);

/* The header that answers call, with the given status. */
struct hf_rpc_header hf_rpc_reply_to(const struct hf_rpc_header *call, unsigned int status);
