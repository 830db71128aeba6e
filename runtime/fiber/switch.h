// The switch between two stacks. On x86-64 it is ours, elsewhere Boost.Context's.
//
// Boost's switch saves and loads the floating-point control registers. Loading MXCSR is slow (25
// ns) whenever its sticky exception flags differ between the two sides, and they differ as soon as
// one side has rounded a number and the other has not; so a switch costs 4 ns or 60, depending on
// what the fibers happened to compute. Nothing here changes rounding modes, so the control
// registers are those of the thread, and a switch is six pushes and six pops.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <boost/context/detail/fcontext.hpp>
#endif

namespace orrery::context {

#if defined(__x86_64__)

/// A flow of control that does not run: its stack pointer.
using Context = void*;

struct Transfer {
    Context fctx;  // where whoever resumed us goes on (Boost's name for it)
    void* data;    // what they handed over
};

extern "C" Transfer orrery_switch_stacks(Context to, void* data);
extern "C" void orrery_stack_entry();

inline Transfer jump(Context to, void* data) {
    return orrery_switch_stacks(to, data);
}

/// A context that calls `entry` on the stack that ends at `top`, when first resumed. `entry` never
/// returns.
inline Context make(char* top, size_t /*size_bytes*/, void (*entry)(Transfer)) {
    auto address = reinterpret_cast<size_t>(top) & ~size_t{15};
    auto** words = reinterpret_cast<void**>(address) - 9;
    // As orrery_switch_stacks leaves a stack: r15 r14 r13 r12 rbx rbp, the address to go on at; the
    // rest keeps the stack aligned and ends the frame chain.
    for (int i = 0; i < 9; ++i) words[i] = nullptr;
    words[4] = reinterpret_cast<void*>(entry);
    words[6] = reinterpret_cast<void*>(&orrery_stack_entry);
    return words;
}

#else

namespace boosted = boost::context::detail;
using Context = boosted::fcontext_t;
using Transfer = boosted::transfer_t;
inline Transfer jump(Context to, void* data) {
    return boosted::jump_fcontext(to, data);
}
inline Context make(char* top, size_t size_bytes, void (*entry)(Transfer)) {
    return boosted::make_fcontext(top, size_bytes, entry);
}

#endif

}  // namespace orrery::context
