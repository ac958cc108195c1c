using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;

namespace LowRankQuant.Quantization.Methods.Flrq;

/// <summary>How the leading terms of a layer are found, whatever rule decides how many.</summary>
/// <param name="Form">One term or several at once.</param>
/// <param name="PowerIterations">it.</param>
/// <param name="Starts">Start vectors of length m.</param>
/// <param name="Workers">Threads.</param>
internal sealed record Sketching(SketchForm Form, int PowerIterations, StartVectors Starts, WorkerPool Workers)
{
    /// <summary>Vectors of a block beyond its terms: the last ones are the least exact.</summary>
    public int Oversampling { get; init; } = 8;

    /// <summary>Prepares to peel terms off diag(alpha) W^T.</summary>
    /// <param name="weight">W, [m, n].</param>
    /// <param name="alpha">Activation scale, [n].</param>
    /// <param name="most">Terms that can be asked for.</param>
    /// <param name="measure">The figure to take of what remains; the largest magnitude where none is given.</param>
    public Peeling Peel(double[] weight, double[] alpha, int most, IResidualMeasure<double>? measure = null) =>
        new(weight, alpha, most, measure ?? new LargestMagnitude<double>(), this);
}
