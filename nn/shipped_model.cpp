#include "nn/shipped_model.h"

#include <cstdlib>

#include "kernels/error.h"

namespace earmark::nn {

namespace fs = std::filesystem;

fs::path shipped_model() {
  const char* named = std::getenv("EARMARK_MODEL");  // NOLINT(concurrency-mt-unsafe): nobody changes it
  const bool given = named != nullptr && *named != '\0';
  fs::path file = given ? fs::path(named) : fs::path(EARMARK_MODELS) / "best.safetensors";
  check(fs::exists(file), file.string(), ": no such model", given ? " (EARMARK_MODEL)" : "",
        "; train one, and give it with --model");
  return file;
}

}  // namespace earmark::nn
