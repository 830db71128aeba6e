#include "runtime/fiber/switch.h"

#if defined(__x86_64__)

// System V: rbx, rbp, r12 to r15 and the stack pointer belong to the caller; everything else is dead across a call. The jump
// at the end instead of a return keeps the processor's return predictor from guessing at a stack that is not there any more.
// The unwinding notes are right on both sides of the exchange, since both stacks have the same words on top.
asm(R"(
    .text
    .globl orrery_switch_stacks
    .hidden orrery_switch_stacks
    .type orrery_switch_stacks, @function
    .p2align 5
orrery_switch_stacks:
    .cfi_startproc
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    pushq %r12
    .cfi_adjust_cfa_offset 8
    pushq %r13
    .cfi_adjust_cfa_offset 8
    pushq %r14
    .cfi_adjust_cfa_offset 8
    pushq %r15
    .cfi_adjust_cfa_offset 8
    movq %rsp, %rax
    movq %rdi, %rsp
    movq %rsi, %rdx
    popq %r15
    .cfi_adjust_cfa_offset -8
    popq %r14
    .cfi_adjust_cfa_offset -8
    popq %r13
    .cfi_adjust_cfa_offset -8
    popq %r12
    .cfi_adjust_cfa_offset -8
    popq %rbx
    .cfi_adjust_cfa_offset -8
    popq %rbp
    .cfi_adjust_cfa_offset -8
    popq %r8
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %r8
    jmpq *%r8
    .cfi_endproc
    .size orrery_switch_stacks, .-orrery_switch_stacks

    .globl orrery_stack_entry
    .hidden orrery_stack_entry
    .type orrery_stack_entry, @function
    .p2align 4
orrery_stack_entry:
    .cfi_startproc
    .cfi_undefined %rip
    movq %rax, %rdi
    movq %rdx, %rsi
    callq *%rbx
    ud2
    .cfi_endproc
    .size orrery_stack_entry, .-orrery_stack_entry
    .section .note.GNU-stack,"",@progbits
    .text
)");

#endif
