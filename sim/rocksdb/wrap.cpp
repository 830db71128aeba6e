// What the linker puts in the place of RocksDB's threads, waits and process-wide generators (see l1.h and CMakeLists.txt,
// which lists the same symbols). The mangled names are those of librocksdb 7.8.3 built with g++ 12.
//
// Traps are per thread: only the thread that called reset_rocksdb_process_state() is held to them, so that threads of a
// daemon's arm in the same program go on as ever.
#include <pthread.h>
#include <sched.h>

#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <typeinfo>

#include "runtime/base/check.h"
#include "runtime/base/random.h"
#include "runtime/store/job_queue.h"
#include "runtime/store/rocks_call.h"
#include "sim/rocksdb/l1.h"

namespace {

using orrery::store::RocksCall;

/// Process-wide, because what it stands in for is.
struct State {
    RocksCall* current = nullptr;  // the Store that works now
    uint32_t depth = 0;
    RocksCall nobody;              // draws made outside of any Store
    orrery::sim::RocksdbTraps traps;
};

State& state() {
    static State the_state;
    return the_state;
}

thread_local bool armed = false;

RocksCall& drawing_call() { return state().current != nullptr ? *state().current : state().nobody; }

/// RocksDB wants to wait for its jobs. With one thread nobody else will run them, so they run here; a wake-up without
/// cause is something that every waiter on a condition must expect.
void run_a_job_instead_of_waiting(const char* what) {
    RocksCall* call = state().current;
    if (call == nullptr || call->jobs == nullptr || !call->jobs->run_one())
        UNREACHABLE("RocksDB would wait for ever in a simulated world", what);
    ++state().traps.waits_served;
}

}  // namespace

extern "C" {

// Drags this object, and with it every definition below, into programs that use the link (-u).
int orrery_rocksdb_l1_anchor = 0;

void __real__ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE(
    std::thread* self, std::unique_ptr<std::thread::_State>* body, void (*depend)());
void __wrap__ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE(
    std::thread* self, std::unique_ptr<std::thread::_State>* body, void (*depend)()) {
    if (!armed) {
        __real__ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE(self, body, depend);
        return;
    }
    const std::thread::_State& work = **body;
    if (std::strstr(typeid(work).name(), "N7rocksdb5TimerE") == nullptr)
        UNREACHABLE("a thread was started in a simulated world", typeid(work).name());
    // The timer only prints statistics. `self` stays without an id, which makes it a thread that was never started.
    ++state().traps.timer_threads_parked;
}

void __real__ZNSt6thread4joinEv(std::thread* self);
void __wrap__ZNSt6thread4joinEv(std::thread* self) {
    if (!self->joinable() && state().traps.timer_threads_parked > 0) return;  // the parked timer
    __real__ZNSt6thread4joinEv(self);
}

int __real_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
int __wrap_pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*), void* argument) {
    if (armed) UNREACHABLE("a thread was created in a simulated world");
    return __real_pthread_create(thread, attributes, body, argument);
}

int __real_pthread_cond_wait(pthread_cond_t*, pthread_mutex_t*);
int __wrap_pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
    if (!armed) return __real_pthread_cond_wait(condition, mutex);
    pthread_mutex_unlock(mutex);
    run_a_job_instead_of_waiting("pthread_cond_wait");
    pthread_mutex_lock(mutex);
    return 0;
}

int __real_pthread_cond_timedwait(pthread_cond_t*, pthread_mutex_t*, const timespec*);
int __wrap_pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const timespec* until) {
    if (!armed) return __real_pthread_cond_timedwait(condition, mutex, until);
    pthread_mutex_unlock(mutex);
    run_a_job_instead_of_waiting("pthread_cond_timedwait");
    pthread_mutex_lock(mutex);
    return 0;
}

int __real_pthread_cond_clockwait(pthread_cond_t*, pthread_mutex_t*, clockid_t, const timespec*);
int __wrap_pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                                  const timespec* until) {
    if (!armed) return __real_pthread_cond_clockwait(condition, mutex, clock, until);
    pthread_mutex_unlock(mutex);
    run_a_job_instead_of_waiting("pthread_cond_clockwait");
    pthread_mutex_lock(mutex);
    return 0;
}

void __real__ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE(std::condition_variable*,
                                                                      std::unique_lock<std::mutex>*);
void __wrap__ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE(std::condition_variable* self,
                                                                      std::unique_lock<std::mutex>* lock) {
    if (!armed) {
        __real__ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE(self, lock);
        return;
    }
    lock->unlock();
    run_a_job_instead_of_waiting("std::condition_variable::wait");
    lock->lock();
}

unsigned __real__ZNSt6thread20hardware_concurrencyEv();
unsigned __wrap__ZNSt6thread20hardware_concurrencyEv() {
    if (!armed) return __real__ZNSt6thread20hardware_concurrencyEv();
    ++state().traps.processor_questions;
    return 1;
}

int __real_sched_getcpu();
int __wrap_sched_getcpu() {
    if (!armed) return __real_sched_getcpu();
    ++state().traps.processor_questions;
    return 0;
}

// rocksdb::Random is one uint32_t, and RocksDB keeps the pointer for no longer than a few draws.
void* __real__ZN7rocksdb6Random14GetTLSInstanceEv();
void* __wrap__ZN7rocksdb6Random14GetTLSInstanceEv() {
    if (!armed) return __real__ZN7rocksdb6Random14GetTLSInstanceEv();
    ++state().traps.random_draw_calls;
    return &drawing_call().random_state;
}

void __real__ZN7rocksdb25SemiStructuredUniqueIdGen12GenerateNextEPmS1_(void* self, uint64_t* upper, uint64_t* lower);
void __wrap__ZN7rocksdb25SemiStructuredUniqueIdGen12GenerateNextEPmS1_(void* self, uint64_t* upper, uint64_t* lower) {
    if (!armed) {
        __real__ZN7rocksdb25SemiStructuredUniqueIdGen12GenerateNextEPmS1_(self, upper, lower);
        return;
    }
    ++state().traps.ids_pinned;
    RocksCall& call = drawing_call();
    orrery::RandomStream draws(call.id_seed, "rocksdb.id", ++call.ids_taken);
    *upper = draws.next();
    *lower = draws.next() | 1;  // zero has a meaning
}

void __wrap__ZN6orrery5store17rocks_call_beginsERNS0_9RocksCallE(RocksCall& call) {
    if (!armed) return;
    State& the_state = state();
    CHECK(the_state.depth == 0 || the_state.current == &call);
    the_state.current = &call;
    ++the_state.depth;
}

void __wrap__ZN6orrery5store15rocks_call_endsERNS0_9RocksCallE(RocksCall& call) {
    if (!armed) return;
    State& the_state = state();
    CHECK(the_state.depth > 0 && the_state.current == &call);
    if (--the_state.depth == 0) the_state.current = nullptr;
}

}  // extern "C"

namespace orrery::sim {

void reset_rocksdb_process_state(uint64_t seed) {
    State& the_state = state();
    CHECK(the_state.depth == 0, "a Store is in a call");
    const uint64_t parked = the_state.traps.timer_threads_parked;
    the_state = State();
    the_state.traps.timer_threads_parked = parked;
    RandomStream draws(seed, "rocksdb.process", 0);
    the_state.nobody.random_state = static_cast<uint32_t>(1 + draws.below(0x7ffffffe));
    the_state.nobody.id_seed = draws.next();
    armed = true;
}

void release_rocksdb_process_state() {
    CHECK(state().depth == 0, "a Store is in a call");
    armed = false;
}

RocksdbTraps rocksdb_traps() { return state().traps; }

}  // namespace orrery::sim
