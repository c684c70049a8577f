# The report's page, style and scripts as constants of the program (experiments/report_resources.h), and the commit that
# is built: cmake -DSOURCE=<folder> -DOUT=<file.cpp> -P report_resources.cmake. The file changes only when they do.
function(as_literal file variable)
  file(READ ${SOURCE}/experiments/report/${file} text)
  set(${variable} "R\"earmark(${text})earmark\"" PARENT_SCOPE)
endfunction()
as_literal(report.html page)
as_literal(report.css style)
as_literal(charts.js charts)
as_literal(examples.js examples)
as_literal(report.js script)

find_program(git git)
set(commit unknown)
if(git)
  execute_process(COMMAND ${git} -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
                  OUTPUT_VARIABLE described RESULT_VARIABLE failed OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT failed)
    set(commit ${described})
  endif()
endif()

set(text "// Made by cmake/report_resources.cmake.
#include \"experiments/report_resources.h\"

namespace earmark::experiments::report_resources {

const char* const kPage = ${page};
const char* const kStyle = ${style};
const char* const kCharts = ${charts};
const char* const kExamples = ${examples};
const char* const kScript = ${script};
const char* const kCommit = \"${commit}\";

}  // namespace earmark::experiments::report_resources
")
set(before "")
if(EXISTS ${OUT})
  file(READ ${OUT} before)
endif()
if(NOT text STREQUAL before)
  file(WRITE ${OUT} "${text}")
endif()
