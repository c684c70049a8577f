// What `-fsanitize=thread,bounds,...` makes the compiler call: in place of libtsan and libubsan, which are not linked.
#include <cstddef>
#include <cstdint>

#include "access.h"
#include "report.h"

// NOLINTBEGIN: the names are the compiler's
using cudasim::Kind;

namespace {

void access_bytes(void* first, std::size_t count, Kind kind, const void* pc) {
  for (std::size_t i = 0; i < count; ++i) {
    cudasim::access_memory(reinterpret_cast<std::uintptr_t>(first) + i, 1, kind, pc);
  }
}

}  // namespace

#define RETURN_ADDRESS __builtin_return_address(0)
#define ENTRY extern "C" __attribute__((noinline)) void

#define ACCESS(name, bytes, kind)                                                             \
  ENTRY __tsan_##name##bytes(void* a) {                                                       \
    cudasim::access_memory(reinterpret_cast<std::uintptr_t>(a), bytes, kind, RETURN_ADDRESS); \
  }
#define ACCESSES(bytes)                    \
  ACCESS(read, bytes, Kind::read)          \
  ACCESS(write, bytes, Kind::write)        \
  ACCESS(volatile_read, bytes, Kind::read) \
  ACCESS(volatile_write, bytes, Kind::write)
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

#define UNALIGNED_ACCESSES(bytes)                                                                     \
  ENTRY __tsan_unaligned_read##bytes(void* a) { access_bytes(a, bytes, Kind::read, RETURN_ADDRESS); } \
  ENTRY __tsan_unaligned_write##bytes(void* a) { access_bytes(a, bytes, Kind::write, RETURN_ADDRESS); }
UNALIGNED_ACCESSES(2)
UNALIGNED_ACCESSES(4)
UNALIGNED_ACCESSES(8)
UNALIGNED_ACCESSES(16)
ENTRY __tsan_read_range(void* a, std::size_t count) { access_bytes(a, count, Kind::read, RETURN_ADDRESS); }
ENTRY __tsan_write_range(void* a, std::size_t count) { access_bytes(a, count, Kind::write, RETURN_ADDRESS); }

ENTRY __tsan_init() { cudasim::note_check_build(); }
ENTRY __tsan_func_entry(void* /*caller*/) {}
ENTRY __tsan_func_exit() {}
ENTRY __tsan_vptr_update(void** /*place*/, void* /*value*/) {}
ENTRY __tsan_vptr_read(void** /*place*/) {}

// Host code of the same files: std::atomic, shared_ptr, static variables.
#define ATOMIC_UPDATE(bits, T, name)                                                 \
  extern "C" T __tsan_atomic##bits##_##name(volatile T* a, T value, int /*order*/) { \
    return __atomic_##name(a, value, __ATOMIC_SEQ_CST);                              \
  }
#define ATOMICS(bits, T)                                                                                           \
  extern "C" T __tsan_atomic##bits##_load(const volatile T* a, int /*order*/) {                                    \
    return __atomic_load_n(a, __ATOMIC_SEQ_CST);                                                                   \
  }                                                                                                                \
  ENTRY __tsan_atomic##bits##_store(volatile T* a, T value, int /*order*/) {                                       \
    __atomic_store_n(a, value, __ATOMIC_SEQ_CST);                                                                  \
  }                                                                                                                \
  extern "C" T __tsan_atomic##bits##_exchange(volatile T* a, T value, int /*order*/) {                             \
    return __atomic_exchange_n(a, value, __ATOMIC_SEQ_CST);                                                        \
  }                                                                                                                \
  ATOMIC_UPDATE(bits, T, fetch_add)                                                                                \
  ATOMIC_UPDATE(bits, T, fetch_sub)                                                                                \
  extern "C" int __tsan_atomic##bits##_compare_exchange_strong(volatile T* a, T* expected, T value, int /*order*/, \
                                                               int /*failure_order*/) {                            \
    return __atomic_compare_exchange_n(a, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ? 1 : 0;     \
  }
ATOMICS(8, unsigned char)
ATOMICS(16, unsigned short)
ATOMICS(32, unsigned)
ATOMICS(64, unsigned long)

#define UNDEFINED(name, text)                                                    \
  ENTRY __ubsan_handle_##name(void* /*data*/, void* /*left*/, void* /*right*/) { \
    const cudasim::SimulatorsOwn scope;                                          \
    cudasim::report("undefined", text, RETURN_ADDRESS);                          \
  }
UNDEFINED(out_of_bounds, "array index out of bounds")
UNDEFINED(shift_out_of_bounds, "shift by a negative number or by the type's width or more")
UNDEFINED(add_overflow, "signed addition overflows")
UNDEFINED(sub_overflow, "signed subtraction overflows")
UNDEFINED(mul_overflow, "signed multiplication overflows")
UNDEFINED(negate_overflow, "signed negation overflows")
UNDEFINED(divrem_overflow, "division by zero, or its result overflows")
// NOLINTEND
