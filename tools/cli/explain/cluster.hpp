#pragma once

#include <string>

#include "hardware/cluster.hpp"

namespace rehearse {

// Links of a cluster, and what a message takes between one GPU and each kind of other.
std::string explain_cluster(const Cluster& cluster);

}  // namespace rehearse
