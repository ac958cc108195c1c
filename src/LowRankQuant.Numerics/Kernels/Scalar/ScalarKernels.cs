namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>The formulas of <see cref="Reference"/> in 32-bit floats on one thread: slow, and plain enough to be checked by reading.</summary>
internal sealed class ScalarKernels() : CheckedKernels(new ReferenceKernels());
