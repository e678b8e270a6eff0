#include "calibration/fit/gaussian_process.hpp"

#include <stdexcept>
#include <utility>

namespace rehearse {

GaussianProcess::GaussianProcess(Kernel kernel, Points points, const Eigen::VectorXd& values,
                                 double noise)
    : kernel_(std::move(kernel)), points_(std::move(points)) {
  const Eigen::Index count = points_.rows();
  Eigen::MatrixXd covariance(count, count);
  for (Eigen::Index j = 0; j < count; ++j) {
    for (Eigen::Index i = j; i < count; ++i) {
      covariance(i, j) = kernel_(points_.row(i).data(), points_.row(j).data());
    }
    covariance(j, j) += noise * noise;
  }
  const Eigen::LLT<Eigen::MatrixXd> factor(covariance);
  if (factor.info() != Eigen::Success) throw std::runtime_error("the covariance is not positive");
  weights_ = factor.solve(values);
}

Eigen::VectorXd GaussianProcess::operator()(const Points& at) const {
  Eigen::VectorXd out(at.rows());
  for (Eigen::Index i = 0; i < at.rows(); ++i) {
    double sum = 0;
    for (Eigen::Index j = 0; j < points_.rows(); ++j) {
      sum += weights_(j) * kernel_(at.row(i).data(), points_.row(j).data());
    }
    out(i) = sum;
  }
  return out;
}

}  // namespace rehearse
