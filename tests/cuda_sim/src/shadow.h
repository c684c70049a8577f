// What is known about each word of device and shared memory: whether it was written, and who wrote and read it last.
#pragma once

#include <cstddef>
#include <cstdint>

#include "block.h"
#include "cudasim/control.h"
#include "symbols.h"

namespace cudasim {

enum class Kind : std::uint8_t { read, write, atomic };

/// The last one to access a word, or several of them: threads of one block, blocks of one launch.
struct Toucher {
  std::uint32_t work = 0;  ///< 0: nobody yet.
  std::uint32_t block = 0;
  std::uint32_t barriers = 0;
  std::uint32_t warp_clock = 0;
  std::uint32_t pc = 0;  ///< Relative to the program's image; 0 for library functions.
  std::uint16_t thread = 0;
  bool atomic = false;
  bool many_threads : 1 = false;
  bool many_blocks : 1 = false;
};

struct ShadowWord {
  Toucher writer;
  Toucher reader;
  std::uint8_t written = 0;  ///< A bit for each byte.
  bool split = false;        ///< The bytes have words of their own: threads share the word.
};

/// Where an access goes, for reports.
struct Place {
  Space space = Space::global;
  std::uintptr_t address = 0;
  std::uintptr_t base = 0;                   ///< Of the shared memory's words.
  const SharedVariable* variable = nullptr;  ///< Or dynamic shared memory.
};

std::string describe(const Place& place);

/// Reserves a word for each 4 bytes of device memory.
void open_shadow(std::size_t arena_bytes);

/// Device memory was allocated anew: nobody wrote to it.
void forget_shadow(std::uintptr_t base, std::size_t bytes);

/// The word that stands for the 4 bytes at an address of the arena.
ShadowWord* shadow_of(std::uintptr_t address);

/// Checks an access against what is known, reports races and reads of what was never written, and notes it. `words`
/// stand for the memory from `place.address`, rounded down to 4 bytes, on.
void check_access(ShadowWord* words, const Place& place, std::size_t bytes, Kind kind, const Moment& moment,
                  const void* pc);

}  // namespace cudasim
