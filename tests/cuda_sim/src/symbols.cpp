#include "symbols.h"

#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>

namespace cudasim {
namespace {

std::string demangled(const char* name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(abi::__cxa_demangle(name, nullptr, nullptr, &status),
                                                         &std::free);
  return status == 0 ? text.get() : name;
}

struct Function {
  std::uintptr_t address;
  std::string mangled;
};

struct Program {
  std::uintptr_t moved_by = 0;  ///< What its addresses were moved by: nothing, for a program at a fixed place.
  Image image;
  std::vector<Function> functions;  ///< Sorted by address.
};

void take_segments(Program& program) {
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t /*size*/, void* out) {  // the first one is the program itself
        Program& p = *static_cast<Program*>(out);
        p.moved_by = info->dlpi_addr;
        p.image.low = UINTPTR_MAX;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& segment = info->dlpi_phdr[i];
          if (segment.p_type == PT_TLS) {
            p.image.tls_size = segment.p_memsz;
          } else if (segment.p_type == PT_LOAD) {
            const std::uintptr_t at = info->dlpi_addr + segment.p_vaddr;
            p.image.low = std::min(p.image.low, at);
            p.image.high = std::max(p.image.high, at + segment.p_memsz);
          }
        }
        return 1;
      },
      &program);
}

void take_symbol(Program& program, const Elf64_Sym& symbol, const char* name) {
  const unsigned type = ELF64_ST_TYPE(symbol.st_info);
  if (symbol.st_shndx == SHN_UNDEF || symbol.st_size == 0) {
    return;
  }
  if (type == STT_FUNC) {
    program.functions.push_back({program.moved_by + symbol.st_value, name});
  }
  if (type == STT_TLS && std::string_view(name).starts_with("_ZZ")) {  // local to a function
    const std::string text = demangled(name);
    const std::size_t colons = text.rfind("::");
    program.image.shared.push_back(
        {symbol.st_value, symbol.st_size, colons == std::string::npos ? text : text.substr(colons + 2)});
  }
}

void take_symbols(Program& program, const char* file) {
  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(file);
  const auto* sections = reinterpret_cast<const Elf64_Shdr*>(file + header->e_shoff);
  for (int s = 0; s < header->e_shnum; ++s) {
    if (sections[s].sh_type != SHT_SYMTAB) {
      continue;
    }
    const auto* symbols = reinterpret_cast<const Elf64_Sym*>(file + sections[s].sh_offset);
    const char* names = file + sections[sections[s].sh_link].sh_offset;
    for (std::size_t k = 0; k < sections[s].sh_size / sizeof(Elf64_Sym); ++k) {
      take_symbol(program, symbols[k], names + symbols[k].st_name);
    }
  }
}

Program read_program() {
  Program program;
  take_segments(program);
  const int descriptor = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (descriptor >= 0 && fstat(descriptor, &status) == 0) {
    const auto size = static_cast<std::size_t>(status.st_size);
    void* file = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (file != MAP_FAILED) {
      take_symbols(program, static_cast<const char*>(file));
      munmap(file, size);
    }
  }
  close(descriptor);
  std::sort(program.functions.begin(), program.functions.end(),
            [](const Function& a, const Function& b) { return a.address < b.address; });
  std::sort(program.image.shared.begin(), program.image.shared.end(),
            [](const SharedVariable& a, const SharedVariable& b) { return a.offset < b.offset; });
  return program;
}

const Program& program() {
  static const Program instance = read_program();
  return instance;
}

/// "void a::(anonymous namespace)::f<b::C>(float*)" -> "f<b::C>"
std::string without_scope_and_parameters(std::string text) {
  constexpr std::string_view kAnonymous = "(anonymous namespace)::";
  for (std::size_t at = text.find(kAnonymous); at != std::string::npos; at = text.find(kAnonymous)) {
    text.erase(at, kAnonymous.size());
  }
  std::size_t begin = 0;
  std::size_t end = 0;
  for (int depth = 0; end < text.size(); ++end) {
    const char c = text[end];
    depth += c == '<' ? 1 : c == '>' ? -1 : 0;
    if (depth == 0 && c == '(') {
      break;
    }
    if (depth == 0 && (c == ':' || c == ' ')) {
      begin = end + 1;
    }
  }
  return text.substr(begin, end - begin);
}

/// "/a/b/hash.cu:41 (discriminator 3)" -> "hash.cu:41"; nothing for a line of a header that kernels only pass through.
std::string as_line(std::string text) {
  for (const char* passed : {"/cudasim/", "cuda_fp16.h", "cuda_bf16.h", "??"}) {
    if (text.find(passed) != std::string::npos) {
      return {};
    }
  }
  text.resize(std::min(text.find(" (disc"), text.find_last_not_of('\n') + 1));
  return text.substr(text.rfind('/') + 1);
}

std::string ask_addr2line(std::uintptr_t address) {
  std::array<char, 512> text{};
  std::snprintf(text.data(), text.size(), "addr2line -i -e /proc/%d/exe 0x%zx 2>/dev/null", getpid(),
                static_cast<std::size_t>(address - program().moved_by));
  std::string line;
  if (FILE* output = popen(text.data(), "r")) {
    while (std::fgets(text.data(), static_cast<int>(text.size()), output) != nullptr) {
      if (line.empty()) {
        line = as_line(text.data());
      }
    }
    pclose(output);
  }
  return line;
}

}  // namespace

const std::string& line_of(const void* return_address) {
  static std::map<const void*, std::string> known;
  std::string& line = known[return_address];
  if (line.empty()) {
    line = ask_addr2line(reinterpret_cast<std::uintptr_t>(return_address) - 1);
  }
  if (line.empty()) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%p", return_address);
    line = text.data();
  }
  return line;
}

const KernelName& kernel_name(const void* function) {
  static std::map<const void*, KernelName> known;
  KernelName& name = known[function];
  if (name.mangled.empty()) {
    const auto address = reinterpret_cast<std::uintptr_t>(function);
    const auto& functions = program().functions;
    const auto at = std::lower_bound(functions.begin(), functions.end(), address,
                                     [](const Function& f, std::uintptr_t a) { return f.address < a; });
    name.mangled = at != functions.end() && at->address == address ? at->mangled : line_of(function);
    name.text = without_scope_and_parameters(demangled(name.mangled.c_str()));
  }
  return name;
}

const Image& image() { return program().image; }

char* tls_block() {
  static thread_local char* block = nullptr;
  if (block == nullptr) {
    dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t /*size*/, void* out) {
          *static_cast<char**>(out) = static_cast<char*>(info->dlpi_tls_data);
          return 1;
        },
        &block);
  }
  return block;
}

}  // namespace cudasim
