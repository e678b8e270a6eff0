#pragma once

#include <string_view>

namespace rehearse {

// tools/report_page/page.html as it was when this was built; @DATA@ stands where the data goes.
std::string_view page_template();

}  // namespace rehearse
