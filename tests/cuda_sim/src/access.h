// Looks at every access of a kernel that was compiled for checking, and at what libraries touch.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shadow.h"

namespace cudasim {

/// A load, store or atomic of 1, 2, 4, 8 or 16 bytes. Ends the launch when it must not happen.
void access_memory(std::uintptr_t address, unsigned bytes, Kind kind, const void* pc);

/// Some code of the program was compiled for checking.
void note_check_build();

/// The runtime or a library touches a range of device memory on behalf of the piece of work that runs. False, with a
/// report, when it does not lie in one live allocation, or in another GPU's memory. `who` outlives the program.
bool library_reads(const void* pointer, std::size_t bytes, const char* who);
bool library_writes(const void* pointer, std::size_t bytes, const char* who);
/// The same for copies, which go from one GPU's memory to another's.
bool copy_reads(const void* pointer, std::size_t bytes);
bool copy_writes(const void* pointer, std::size_t bytes);
/// The allocation that begins at `pointer` goes: whoever still uses it races with that.
void library_frees(const void* pointer, const char* who);

}  // namespace cudasim
