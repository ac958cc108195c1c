using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Flrq;

/// <summary>
/// Terms taken off diag(alpha) W^T [n, m] one after the other, with a figure of what remains after each. They are found some at a time, by
/// <see cref="R1Sketch{T}"/> or <see cref="BlockSketch{T}"/>, and handed out one by one.
/// </summary>
/// <param name="weight">W, [m, n].</param>
/// <param name="alpha">Activation scale, [n].</param>
/// <param name="most">Terms that can be asked for.</param>
/// <param name="measure">The figure to take.</param>
/// <param name="sketching">How terms are found.</param>
internal sealed class Peeling(double[] weight, double[] alpha, int most, IResidualMeasure<double> measure, Sketching sketching)
{
    // As many as the authors' rule looks back over: it never decides sooner that the magnitude has stopped falling.
    private const int RankOneBatch = 8;
    private const int BlockBatch = 32;
    private readonly int _inputs = alpha.Length, _outputs = weight.Length / alpha.Length;
    private readonly List<(double[] Left, double[] Right)> _terms = [];
    private readonly Queue<(double[] Left, double[] Right, double Figure)> _found = [];
    private R1Sketch<double>? _rankOne;
    private BlockSketch<double>? _block;
    private int _vectors;

    /// <summary>Starts; returns the figure of the whole scaled matrix.</summary>
    public double Begin()
    {
        if (sketching.Form == SketchForm.Block)
        {
            var scaled = new double[weight.Length];
            Scale(scaled);
            _block = new BlockSketch<double>(scaled, _inputs, _outputs, sketching.PowerIterations, sketching.Workers);
            return measure.Of(scaled, _outputs, sketching.Workers);
        }
        Memory<double> aligned = AlignedMemory.Allocate<double>(weight.Length);
        Scale(aligned);
        _rankOne = new R1Sketch<double>(aligned, _inputs, _outputs, sketching.PowerIterations, sketching.Workers);
        return measure.Of(aligned, _outputs, sketching.Workers);
    }

    /// <summary>Peels the next term; returns the figure of what remains.</summary>
    public double Next()
    {
        if (_found.Count == 0) Find();
        (double[] left, double[] right, double figure) = _found.Dequeue();
        _terms.Add((left, right));
        return figure;
    }

    /// <summary>The first terms as U [m, rank] and V [rank, n], un-scaled on the input side.</summary>
    public LowRankFactors Factors(int rank)
    {
        double[] u = new double[_outputs * rank], v = new double[rank * _inputs];
        for (int term = 0; term < rank; term++)
        {
            (double[] left, double[] right) = _terms[term];
            for (int row = 0; row < right.Length; row++) u[(row * rank) + term] = right[row];
            for (int column = 0; column < left.Length; column++) v[(term * left.Length) + column] = left[column] / alpha[column];
        }
        return new LowRankFactors(rank, u, v);
    }

    private void Find()
    {
        int terms = Math.Min(_block is null ? RankOneBatch : BlockBatch, most - _terms.Count);
        int width = _block is null ? terms : Math.Min(terms + sketching.Oversampling, Math.Min(_inputs, _outputs));
        var starts = new double[width * _outputs];
        for (int i = 0; i < width; i++) sketching.Starts[_vectors++].CopyTo(starts, i * _outputs);
        double[] left = new double[terms * _inputs], right = new double[terms * _outputs];
        double[] figures = _block is not null ? _block.Peel(starts, width, terms, left, right, measure)
            : _rankOne is not null ? _rankOne.Peel(starts, terms, left, right, measure)
            : throw new InvalidOperationException("The peeling has not begun.");
        for (int term = 0; term < terms; term++)
            _found.Enqueue((left[(term * _inputs)..((term + 1) * _inputs)], right[(term * _outputs)..((term + 1) * _outputs)], figures[term]));
    }

    // diag(alpha) W^T, [n, m].
    private void Scale(Memory<double> scaled) => sketching.Workers.Run(_inputs, column =>
    {
        Span<double> inputs = scaled.Span.Slice(column * _outputs, _outputs);
        for (int row = 0; row < _outputs; row++) inputs[row] = alpha[column] * weight[(row * _inputs) + column];
    });
}
