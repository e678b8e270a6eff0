#include <array>

#include "sim/report/writers/writers.hpp"

namespace rehearse {
namespace {

constexpr std::array<ReportFormat, 2> kReportFormats{{
    {"text", "tables for a terminal, 100 columns wide", run_text, compare_text},
    {"json", "one object, SI base units, numbers at full precision", run_json, compare_json},
}};

}  // namespace

std::span<const ReportFormat> report_formats() { return kReportFormats; }

}  // namespace rehearse
