# The CUDA backend. The sources in kernels/cuda are built in one of three ways (EARMARK_CUDA):
#   ON         by nvcc, for GPUs;
#   SIMULATED  by the C++ compiler against tests/cuda_sim, which runs kernels on the CPU: for machines without a GPU;
#   CHECKED    the same, and every load and store of every thread of a kernel is checked.
# AUTO is ON where nvcc is found; OFF, the default, leaves the CPU as the only device. The backend is not whole yet: its
# kernels and their tests (cuda_tests) are built, the programs need the others first.
set(EARMARK_CUDA OFF CACHE STRING "CUDA backend: AUTO, ON, OFF, SIMULATED or CHECKED")
set_property(CACHE EARMARK_CUDA PROPERTY STRINGS AUTO ON OFF SIMULATED CHECKED)
if(NOT EARMARK_CUDA MATCHES "^(AUTO|ON|OFF|SIMULATED|CHECKED)$")
  message(FATAL_ERROR "EARMARK_CUDA: expected AUTO, ON, OFF, SIMULATED or CHECKED, got '${EARMARK_CUDA}'")
endif()

set(EARMARK_CUDA_BUILD ${EARMARK_CUDA})
if(EARMARK_CUDA STREQUAL "AUTO" OR EARMARK_CUDA STREQUAL "ON")
  # Code for A100 and H100, and for Blackwell where nvcc knows it; the last one also as PTX, for what comes after.
  find_program(EARMARK_NVCC nvcc HINTS ENV CUDACXX ENV CUDA_PATH PATH_SUFFIXES bin)
  if(EARMARK_NVCC AND NOT CMAKE_CUDA_ARCHITECTURES)
    execute_process(COMMAND ${EARMARK_NVCC} --list-gpu-code OUTPUT_VARIABLE known)
    if(known MATCHES "sm_100")
      set(CMAKE_CUDA_ARCHITECTURES "80-real;90-real;100")
    else()
      set(CMAKE_CUDA_ARCHITECTURES "80-real;90")
    endif()
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(EARMARK_CUDA_BUILD ON)
    # What ptxas says about the kernels stays beside the object files, for tools/kernel_resources.sh.
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_SOURCE_DIR}/tools/record_ptxas.sh)
    if(EARMARK_CCACHE)
      list(APPEND CMAKE_CUDA_COMPILER_LAUNCHER ${EARMARK_CCACHE})
    endif()
    enable_language(CUDA)
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake before 3.26 does not know that nvcc has C++20
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    endif()
    set(CMAKE_CUDA_STANDARD 20)
  elseif(EARMARK_CUDA STREQUAL "ON")
    message(FATAL_ERROR "EARMARK_CUDA is ON, but no nvcc was found: put it on PATH or set CUDACXX")
  else()
    set(EARMARK_CUDA_BUILD OFF)
  endif()
endif()
if(NOT EARMARK_CUDA_BUILD)
  return()
endif()

find_package(CUDAToolkit REQUIRED)
find_path(CUDNN_INCLUDE cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS} REQUIRED)
file(GLOB EARMARK_CUDA_SOURCES CONFIGURE_DEPENDS kernels/cuda/*.cu kernels/cuda/*.cpp)
file(GLOB device_sources CONFIGURE_DEPENDS kernels/cuda/*.cu)
add_compile_definitions(EARMARK_CUDA)
# The kernels themselves see the toolkit's headers and, in simulated builds, the simulator's before them.
set(EARMARK_CUDA_HEADERS ${CUDAToolkit_INCLUDE_DIRS} ${CUDNN_INCLUDE})

if(EARMARK_CUDA_BUILD STREQUAL "ON")
  find_library(CUDNN_LIBRARY cudnn HINTS ${CUDAToolkit_LIBRARY_DIR} ${CUDAToolkit_LIBRARY_ROOT}/lib REQUIRED)
  add_library(earmark_cuda_runtime INTERFACE)
  target_link_libraries(earmark_cuda_runtime INTERFACE CUDA::cudart CUDA::cublas CUDA::cufft ${CUDNN_LIBRARY})
  # The kernels as PTX, which tools/check_ptx.sh and tools/kernel_resources.sh read.
  add_library(earmark_ptx OBJECT EXCLUDE_FROM_ALL ${device_sources})
  set_target_properties(earmark_ptx PROPERTIES CUDA_PTX_COMPILATION ON CUDA_ARCHITECTURES 90-virtual)
  target_include_directories(earmark_ptx SYSTEM PRIVATE ${EARMARK_CUDA_HEADERS})
else()
  list(PREPEND EARMARK_CUDA_HEADERS ${CMAKE_SOURCE_DIR}/tests/cuda_sim/include)
  file(GLOB simulator CONFIGURE_DEPENDS tests/cuda_sim/src/*.cpp)
  add_library(earmark_cuda_runtime STATIC ${simulator})
  target_compile_options(earmark_cuda_runtime PRIVATE -w -fno-extern-tls-init -g)
  target_include_directories(earmark_cuda_runtime SYSTEM PUBLIC ${EARMARK_CUDA_HEADERS})
  target_link_libraries(earmark_cuda_runtime PUBLIC Threads::Threads ${CMAKE_DL_LIBS})
  set(as_cpp -x c++ -g -fno-extern-tls-init -Wno-unknown-pragmas)
  if(EARMARK_CUDA_BUILD STREQUAL "CHECKED")
    # Calls for each access, which the simulator answers in place of libtsan. Vectors must stay whole accesses.
    list(APPEND as_cpp -O1 -fno-tree-sra
         -fsanitize=thread,bounds,shift,signed-integer-overflow,integer-divide-by-zero
         --param tsan-instrument-func-entry-exit=0)
  endif()
  set_source_files_properties(${device_sources} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "${as_cpp}")
endif()
