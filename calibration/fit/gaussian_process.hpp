#pragma once

#include <Eigen/Dense>
#include <functional>

namespace rehearse {

// Regression by a Gaussian process (Rasmussen and Williams, Gaussian Processes for Machine
// Learning, 2006, algorithm 2.1): observations are a function with prior covariance `kernel` and
// mean 0, plus noise of its own at each. Points are rows of coordinates.
//
// Timings have heavy tails (another clock, another kernel for one shape), so a point may be
// reweighted: its noise grows with how badly the others predict it, as under Student's t (4 degrees
// of freedom).
class GaussianProcess {
 public:
  using Kernel = std::function<double(const double* a, const double* b)>;

  // `points` is row-major, one point a row.
  using Points = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  // `reweighted`: rounds of reweighting.
  GaussianProcess(Kernel kernel, Points points, const Eigen::VectorXd& values, double noise,
                  int reweighted = 0);

  // The posterior mean.
  Eigen::VectorXd operator()(const Points& at) const;

 private:
  Kernel kernel_;
  Points points_;
  Eigen::VectorXd weights_;
};

}  // namespace rehearse
