# Everything comes from Debian's packages: tools/install_dependencies.sh installs them.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(AVUTIL REQUIRED IMPORTED_TARGET libavutil)
pkg_check_modules(AVFORMAT REQUIRED IMPORTED_TARGET libavformat libavcodec libswresample libavutil)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
find_package(CLI11 CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(yaml-cpp CONFIG REQUIRED)
find_package(SQLite3 REQUIRED)

# Debian's dnnl-config.cmake also asks for OpenCL's headers, which nothing here uses: the library alone is enough.
find_library(EARMARK_DNNL dnnl REQUIRED)
find_path(EARMARK_DNNL_INCLUDE oneapi/dnnl/dnnl.hpp REQUIRED)
add_library(DNNL::dnnl SHARED IMPORTED)
set_target_properties(DNNL::dnnl PROPERTIES IMPORTED_LOCATION ${EARMARK_DNNL}
                                            INTERFACE_INCLUDE_DIRECTORIES ${EARMARK_DNNL_INCLUDE})
