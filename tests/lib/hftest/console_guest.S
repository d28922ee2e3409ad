/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A guest that fits in a boot sector, and has no more than a serial line: for tests of consoles.
 *
 * What it reads up to a carriage return is a command:
 *
 *     pN      prints N lines
 *     tN      prints N lines, one for each tick of the clock (18.2 in a second)
 *     x       resets the machine, which ends a QEMU with -no-reboot
 *     else    it answers "heard " and what it has read
 *
 * Lines are numbered from 1 on, through all commands, so each number is printed once. A break is
 * answered by "break N". What it reads while it prints lines is answered between two of them. NUL and
 * newline are not heard. While there is nothing to do the processor is halted.
 */

        .intel_syntax noprefix
        .code16

        .set    PORT, 0x3f8
        .set    COMMAND, 0x8000         /* read so far; AT di */
        .set    COMMAND_END, 0x9000

start:
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, 0x7c00
        cld
        cli
        mov     word ptr [0x0c * 4], offset interrupt
        mov     word ptr [0x0c * 4 + 2], ax
        in      al, 0x21                /* the line's interrupt may come, and wakes us */
        and     al, 0xef
        out     0x21, al
        mov     dx, PORT + 2
        mov     al, 7                   /* FIFOs, emptied; an interrupt for each byte */
        out     dx, al
        inc     dx
        mov     al, 3                   /* 8 bits, no parity */
        out     dx, al
        inc     dx
        mov     al, 0x0b
        out     dx, al
        mov     dx, PORT + 1
        mov     al, 5                   /* interrupts: bytes, and breaks */
        out     dx, al
        mov     di, COMMAND
        mov     si, offset ready
        call    print

next:
        cli
        call    status
        cmp     byte ptr [breaks], 0
        jne     tell_break
        test    al, 1
        jnz     read
        cmp     word ptr [left], 0
        je      wait
        cmp     byte ptr [slow], 0
        je      one_line
        mov     al, [0x46c]             /* of the BIOS: the clock's ticks */
        cmp     al, [tick]
        je      wait
        mov     [tick], al
one_line:
        sti
        dec     word ptr [left]
        mov     bx, offset number + 5
        call    count
        mov     si, offset line
        call    print
        jmp     next

wait:   sti
        hlt
        jmp     next

tell_break:
        sti
        dec     byte ptr [breaks]
        mov     bx, offset break_number + 2
        call    count
        mov     si, offset break_line
        call    print
        jmp     next

read:   sti
        mov     dx, PORT
        in      al, dx
        cmp     al, 13
        je      obey
        cmp     al, 10
        je      next
        test    al, al
        jz      next
        cmp     di, COMMAND_END
        jae     next
        stosb
        jmp     next

obey:   mov     byte ptr [di], 0
        mov     si, COMMAND
        mov     di, si
        lodsb
        cmp     word ptr [COMMAND], 'x'
        je      reset
        cmp     byte ptr [si], '0'      /* a number, or a word like any other */
        jb      hear
        cmp     byte ptr [si], '9'
        ja      hear
        cmp     al, 'p'
        je      lines
        cmp     al, 't'
        je      lines
hear:   mov     si, offset heard
        call    print
        mov     si, COMMAND
        call    print
        mov     si, offset line_end
        call    print
        jmp     next

/* al: the command; si: the number behind it. */
lines:  sub     al, 'p'
        mov     [slow], al
        xor     cx, cx
digit:  lodsb
        sub     al, '0'
        jb      known
        cbw
        imul    cx, cx, 10
        add     cx, ax
        jmp     digit
known:  add     [left], cx
        jmp     next

reset:  mov     al, 0xfe
        out     0x64, al
        hlt
        jmp     reset

/* Adds 1 to the decimal number in text whose last digit is at bx. */
count:  inc     byte ptr [bx]
        cmp     byte ptr [bx], '9'
        jbe     counted
        mov     byte ptr [bx], '0'
        dec     bx
        jmp     count
counted:
        ret

/* Prints the text at si, up to its NUL. */
print:  lodsb
        test    al, al
        jz      printed
        mov     ah, al
full:   call    status
        test    al, 0x20
        jz      full
        mov     dx, PORT
        mov     al, ah
        out     dx, al
        jmp     print
printed:
        ret

/* The line's status to al. To read it forgets a break, so these are counted here. */
status: mov     dx, PORT + 5
        in      al, dx
        test    al, 0x10
        jz      told
        inc     byte ptr [breaks]
told:   ret

interrupt:
        push    ax
        mov     al, 0x20
        out     0x20, al
        pop     ax
        iret

left:   .word   0
slow:   .byte   0
tick:   .byte   0
breaks: .byte   0
ready:  .asciz  "ready\r\n"
heard:  .asciz  "heard "
line:   .ascii  "line "
number: .asciz  "000000 the quick brown fox jumps over the lazy dog\r\n"
break_line:
        .ascii  "break "
break_number:
        .ascii  "000"
line_end:
        .asciz  "\r\n"

        .org    510
        .word   0xaa55
