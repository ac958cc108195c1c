using LowRankQuant.Numerics.LinearAlgebra;

namespace LowRankQuant.Quantization.Methods.Flrq;

/// <summary>Peeling by <see cref="BlockSketch{T}"/>: terms are found in blocks, and handed out one by one with the figures taken while the block came off.</summary>
/// <param name="weight">W, [m, n].</param>
/// <param name="alpha">Activation scale, [n].</param>
/// <param name="most">Terms that can be asked for.</param>
/// <param name="noise">The figure to take; null for the largest magnitude.</param>
/// <param name="sketching">Power iterations, start vectors, threads.</param>
internal sealed class BlockPeeling(double[] weight, double[] alpha, int most, PredictedNoise? noise, Sketching sketching)
    : Peeling(alpha, weight.Length / alpha.Length)
{
    private const int BlockWidth = 32;
    private readonly int _inputs = alpha.Length, _outputs = weight.Length / alpha.Length;
    private readonly Queue<(double[] Left, double[] Right, double Figure)> _found = [];
    private BlockSketch<double>? _sketch;
    private int _vectors;

    /// <inheritdoc/>
    public override double Begin()
    {
        double[] scaled = Scaled(weight, sketching.Workers);
        _sketch = new BlockSketch<double>(scaled, _inputs, _outputs, sketching.PowerIterations, sketching.Workers);
        return noise?.Of(scaled, _outputs, sketching.Workers) ?? scaled.Max(Math.Abs);
    }

    /// <inheritdoc/>
    public override double Next()
    {
        if (_found.Count == 0) FindBlock(_sketch ?? throw new InvalidOperationException("The peeling has not begun."));
        (double[] left, double[] right, double figure) = _found.Dequeue();
        Add(left, right);
        return figure;
    }

    private void FindBlock(BlockSketch<double> sketch)
    {
        int terms = Math.Min(BlockWidth, most - Count), width = Math.Min(terms + sketching.Oversampling, Math.Min(_inputs, _outputs));
        var starts = new double[width * _outputs];
        for (int i = 0; i < width; i++) sketching.Starts[_vectors++].CopyTo(starts, i * _outputs);
        double[] left = new double[terms * _inputs], right = new double[terms * _outputs];
        double[] figures = sketch.Peel(starts, width, terms, left, right, noise is null ? new LargestMagnitude<double>() : noise);
        for (int term = 0; term < terms; term++)
            _found.Enqueue((left[(term * _inputs)..((term + 1) * _inputs)], right[(term * _outputs)..((term + 1) * _outputs)], figures[term]));
    }
}
