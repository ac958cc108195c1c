using LowRankQuant.Numerics.LinearAlgebra;

namespace LowRankQuant.Quantization.Methods.Flrq;

/// <summary>Peeling by <see cref="R1Sketch{T}"/>: every term has a sketch of its own.</summary>
/// <param name="weight">W, [m, n].</param>
/// <param name="alpha">Activation scale, [n].</param>
/// <param name="most">Terms that can be asked for.</param>
/// <param name="noise">The figure to take; null for the largest magnitude.</param>
/// <param name="sketching">Power iterations, start vectors, threads.</param>
internal sealed class RankOnePeeling(double[] weight, double[] alpha, int most, PredictedNoise? noise, Sketching sketching)
    : Peeling(alpha, weight.Length / alpha.Length)
{
    private readonly int _inputs = alpha.Length, _outputs = weight.Length / alpha.Length;
    private R1Sketch<double>? _sketch;

    /// <inheritdoc/>
    public override double Begin()
    {
        _sketch = new R1Sketch<double>(Scaled(weight, sketching.Workers), _inputs, _outputs, sketching.PowerIterations, sketching.Workers);
        _sketch.Begin(sketching.Starts[0]);
        return Figure(_sketch);
    }

    /// <inheritdoc/>
    public override double Next()
    {
        R1Sketch<double> sketch = _sketch ?? throw new InvalidOperationException("The peeling has not begun.");
        double[] left = new double[_inputs], right = new double[_outputs];
        sketch.Peel(left, right, Count + 1 == most ? default : sketching.Starts[Count + 1]);
        Add(left, right);
        return Figure(sketch);
    }

    private double Figure(R1Sketch<double> sketch) => noise?.Of(sketch.Matrix, _outputs, sketching.Workers) ?? sketch.LargestMagnitude;
}
