using System.Runtime.CompilerServices;

namespace LowRankQuant.Numerics.Kernels;

/// <summary>Checks the shapes of every operation and hands it on, so that implementations may trust their arguments.</summary>
internal abstract partial class CheckedKernels(IKernels inner) : IKernels
{
    public string Name => inner.Name;

    public bool HasHalf => inner.HasHalf;

    public void Upload(ReadOnlySpan<float> source, Tensor destination)
    {
        if (source.Length != destination.Count) throw Fault(destination, $"has to have the {source.Length} elements of the source");
        inner.Upload(source, destination);
    }

    public void Download(Tensor source, Span<float> destination)
    {
        if (destination.Length != source.Count) throw Fault(source, $"has to have the {destination.Length} elements of the destination");
        inner.Download(source, destination);
    }

    public void Copy(Tensor source, Tensor destination)
    {
        Same(destination, source);
        inner.Copy(source, destination);
    }

    public void Fill(Tensor x, float value) => inner.Fill(x, value);

    public void Add(Tensor a, Tensor b, Tensor y)
    {
        Same(b, a);
        Same(y, a);
        inner.Add(a, b, y);
    }

    public void AddScaled(Tensor x, float factor, Tensor y)
    {
        Same(y, x);
        inner.AddScaled(x, factor, y);
    }

    public void Scale(Tensor x, float factor, Tensor y)
    {
        Same(y, x);
        inner.Scale(x, factor, y);
    }

    public void MatMul(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor c, bool accumulate)
    {
        CheckProduct(a, transposeA, b, transposeB, c);
        inner.MatMul(a, transposeA, b, transposeB, c, accumulate);
    }

    public void MatMulHalf(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor c, bool accumulate)
    {
        CheckProduct(a, transposeA, b, transposeB, c);
        inner.MatMulHalf(a, transposeA, b, transposeB, c, accumulate);
    }

    public void GramPanel(Tensor x, int column, Tensor y)
    {
        if (column < 0 || column + y.Columns > x.Columns || y.Rows != x.Columns - column) throw Fault(y, $"has to be [{x.Columns - column}, at most as much] for columns of {x} from {column} on");
        inner.GramPanel(x, column, y);
    }

    private static void CheckProduct(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor c)
    {
        (int m, int k) = Matrix(a, transposeA);
        (int inside, int n) = Matrix(b, transposeB);
        if (inside != k) throw Fault(b, $"has to have an inner size of {k}, as a is {a}{(transposeA ? " transposed" : "")}");
        if (c.Count != (long)m * n || (c.Count != 0 && c.Columns != n)) throw Fault(c, $"has to be [{m}, {n}]");
    }

    public void AddRow(Tensor x, Tensor row)
    {
        Count(row, x.Columns);
        inner.AddRow(x, row);
    }

    public void ColumnSums(Tensor x, Tensor sums, bool accumulate)
    {
        Count(sums, x.Columns);
        inner.ColumnSums(x, sums, accumulate);
    }

    public void EmbeddingForward(Tensor table, ReadOnlySpan<int> ids, Tensor y)
    {
        Ids(ids, 0, table.Rows);
        Count(y, (long)ids.Length * table.Columns);
        inner.EmbeddingForward(table, ids, y);
    }

    public void EmbeddingBackward(Tensor dy, ReadOnlySpan<int> ids, Tensor tableGradient)
    {
        Ids(ids, 0, tableGradient.Rows);
        Count(dy, (long)ids.Length * tableGradient.Columns);
        inner.EmbeddingBackward(dy, ids, tableGradient);
    }

    public void RmsNormForward(Tensor x, Tensor weight, float epsilon, float weightOffset, Tensor y, Tensor inverseRms)
    {
        Count(weight, x.Columns);
        Same(y, x);
        Count(inverseRms, x.Rows);
        inner.RmsNormForward(x, weight, epsilon, weightOffset, y, inverseRms);
    }

    public void RmsNormBackward(
        Tensor dy, Tensor x, Tensor weight, float weightOffset, Tensor inverseRms, Tensor dx, bool accumulate, Tensor? dWeight)
    {
        Same(dy, x);
        Count(weight, x.Columns);
        Count(inverseRms, x.Rows);
        Same(dx, x);
        Count(dWeight, x.Columns);
        inner.RmsNormBackward(dy, x, weight, weightOffset, inverseRms, dx, accumulate, dWeight);
    }

    public void LayerNormForward(Tensor x, Tensor weight, Tensor? bias, float epsilon, Tensor y, Tensor mean, Tensor inverseDeviation)
    {
        Count(weight, x.Columns);
        Count(bias, x.Columns);
        Same(y, x);
        Count(mean, x.Rows);
        Count(inverseDeviation, x.Rows);
        inner.LayerNormForward(x, weight, bias, epsilon, y, mean, inverseDeviation);
    }

    public void LayerNormBackward(
        Tensor dy, Tensor x, Tensor weight, Tensor mean, Tensor inverseDeviation, Tensor dx, bool accumulate, Tensor? dWeight, Tensor? dBias)
    {
        Same(dy, x);
        Count(weight, x.Columns);
        Count(mean, x.Rows);
        Count(inverseDeviation, x.Rows);
        Same(dx, x);
        Count(dWeight, x.Columns);
        Count(dBias, x.Columns);
        inner.LayerNormBackward(dy, x, weight, mean, inverseDeviation, dx, accumulate, dWeight, dBias);
    }

    public void Rotate(
        Tensor x, Tensor cosine, Tensor sine, int headSize, bool interleaved, int sequenceLength, int positionOffset, bool inverse, Tensor y)
    {
        if (headSize <= 0 || x.Columns % headSize != 0) throw Fault(x, $"has to have columns in heads of {headSize}");
        if (cosine.Columns * 2L > headSize) throw Fault(cosine, $"has to have at most {headSize / 2} columns, half the head");
        Same(sine, cosine);
        Same(y, x);
        if (sequenceLength <= 0 || x.Rows % sequenceLength != 0) throw Fault(x, $"has to have rows in sequences of {sequenceLength}");
        long positions = (long)positionOffset + sequenceLength;
        if (positionOffset < 0 || positions > cosine.Rows) throw Fault(cosine, $"has to have rows for positions {positionOffset} to {positions - 1}");
        inner.Rotate(x, cosine, sine, headSize, interleaved, sequenceLength, positionOffset, inverse, y);
    }

    public void AttentionForward(in AttentionShape shape, in AttentionTerms terms, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp)
    {
        Attention(shape, terms, q, k, v, y, logSumExp);
        inner.AttentionForward(shape, terms, q, k, v, y, logSumExp);
    }

    public void AttentionBackward(
        in AttentionShape shape, in AttentionTerms terms, Tensor dy, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp,
        Tensor dq, Tensor dk, Tensor dv)
    {
        Attention(shape, terms, q, k, v, y, logSumExp);
        Same(dy, y);
        Same(dq, q);
        Same(dk, k);
        Same(dv, v);
        inner.AttentionBackward(shape, terms, dy, q, k, v, y, logSumExp, dq, dk, dv);
    }

    public void ActivationForward(Activation activation, Tensor x, Tensor y)
    {
        Known(activation);
        Same(y, x);
        inner.ActivationForward(activation, x, y);
    }

    public void ActivationBackward(Activation activation, Tensor dy, Tensor x, Tensor dx)
    {
        Known(activation);
        Same(dy, x);
        Same(dx, x);
        inner.ActivationBackward(activation, dy, x, dx);
    }

    public void GatedActivationForward(Activation activation, Tensor gate, Tensor up, Tensor y)
    {
        Known(activation);
        Same(up, gate);
        Same(y, gate);
        inner.GatedActivationForward(activation, gate, up, y);
    }

    public void GatedActivationBackward(Activation activation, Tensor dy, Tensor gate, Tensor up, Tensor dGate, Tensor dUp)
    {
        Known(activation);
        Same(dy, gate);
        Same(up, gate);
        Same(dGate, gate);
        Same(dUp, gate);
        inner.GatedActivationBackward(activation, dy, gate, up, dGate, dUp);
    }

    public double SquaredError(Tensor x, Tensor target, Tensor? rowWeights, float factor, Tensor? gradient)
    {
        Same(target, x);
        Count(rowWeights, x.Rows);
        Same(gradient, x);
        return inner.SquaredError(x, target, rowWeights, factor, gradient);
    }

    public void CrossEntropyForward(Tensor logits, ReadOnlySpan<int> targets, Tensor negativeLogLikelihood, Tensor logSumExp)
    {
        NotEmpty(logits);
        Length(targets.Length, logits.Rows, "targets");
        Ids(targets, -1, logits.Columns);
        Count(negativeLogLikelihood, logits.Rows);
        Count(logSumExp, logits.Rows);
        inner.CrossEntropyForward(logits, targets, negativeLogLikelihood, logSumExp);
    }

    public void CrossEntropyBackward(Tensor logits, ReadOnlySpan<int> targets, Tensor logSumExp, float scale, Tensor dLogits)
    {
        NotEmpty(logits);
        Length(targets.Length, logits.Rows, "targets");
        Ids(targets, -1, logits.Columns);
        Count(logSumExp, logits.Rows);
        Same(dLogits, logits);
        inner.CrossEntropyBackward(logits, targets, logSumExp, scale, dLogits);
    }

    public void SoftmaxStatistics(Tensor logits, Tensor logSumExp, Span<int> largest)
    {
        NotEmpty(logits);
        Count(logSumExp, logits.Rows);
        Length(largest.Length, logits.Rows, "largest");
        inner.SoftmaxStatistics(logits, logSumExp, largest);
    }

    public void KlDivergence(Tensor reference, Tensor logits, Span<double> divergence)
    {
        NotEmpty(logits);
        if (reference.Columns != logits.Columns) throw Fault(reference, $"has to have the {logits.Columns} columns of the logits");
        Same(reference, logits);
        Length(divergence.Length, logits.Rows, "divergence");
        inner.KlDivergence(reference, logits, divergence);
    }

    public void GroupScaleForward(Tensor units, Tensor scale, Tensor y)
    {
        Groups(units, scale);
        Same(y, units);
        inner.GroupScaleForward(units, scale, y);
    }

    public void GroupScaleBackward(Tensor dy, Tensor units, Tensor dScale, bool accumulate)
    {
        Groups(units, dScale);
        Same(dy, units);
        inner.GroupScaleBackward(dy, units, dScale, accumulate);
    }

    public void FakeQuantizeForward(in FakeQuantizeArguments arguments)
    {
        FakeQuantize(arguments);
        inner.FakeQuantizeForward(arguments);
    }

    public void FakeQuantizeBackward(in FakeQuantizeArguments arguments, in FakeQuantizeGradients gradients)
    {
        FakeQuantize(arguments);
        Tensor weight = arguments.Weight;
        if (arguments.Residue is null) throw new ArgumentException("The backward pass needs the Residue of the forward pass.", nameof(arguments));
        Same(gradients.Upstream, weight);
        Same(gradients.Delta, weight);
        Same(gradients.LogScale, arguments.LogScale);
        Count(gradients.RowOffset, weight.Rows);
        Count(gradients.ColumnOffset, weight.Columns);
        Same(gradients.Offset, weight);
        Same(gradients.Zero, arguments.LogScale);
        if (arguments.Slope is null && (gradients.Offset ?? gradients.Zero) is not null) throw new ArgumentException("Gradients of offsets and zero points need the Slope of the forward pass.", nameof(arguments));
        inner.FakeQuantizeBackward(arguments, gradients);
    }

    public void AdamStep(in AdamArguments arguments)
    {
        Same(arguments.Gradient, arguments.Parameters);
        Same(arguments.FirstMoment, arguments.Parameters);
        Same(arguments.SecondMoment, arguments.Parameters);
        if (arguments.Step < 1) throw new ArgumentException($"Adam's step is {arguments.Step}; steps count from 1.", nameof(arguments));
        inner.AdamStep(arguments);
    }

    private static void Groups(Tensor units, Tensor scale, [CallerArgumentExpression(nameof(scale))] string name = "")
    {
        if (scale.Count == 0 ? units.Count > 0 : units.Count % scale.Count != 0) throw Fault(scale, $"has to have a number of elements that divides the {units.Count} of the units", name);
    }

    private static void FakeQuantize(in FakeQuantizeArguments arguments)
    {
        Tensor weight = arguments.Weight, scale = arguments.LogScale;
        long rows = weight.Rows;
        bool grouped = rows > 0 && scale.Count > 0 && scale.Count % rows == 0 && weight.Columns % (scale.Count / rows) == 0;
        if (!grouped) throw Fault(scale, $"has to be [{rows}, groups] where groups divides the {weight.Columns} columns of the weight");
        Same(arguments.Zero, scale);
        Same(arguments.Delta, weight);
        Count(arguments.RowOffset, rows);
        Count(arguments.ColumnOffset, weight.Columns);
        Same(arguments.Quantized, weight);
        Same(arguments.Residue, weight);
        Same(arguments.Offset, weight);
        Same(arguments.Slope, weight);
        if (!(arguments.Softness is >= 0 and <= 0.5f)) throw new ArgumentException($"A softness of {arguments.Softness}; it is half the width of a ramp, 0 to 1/2.", nameof(arguments));
        if (arguments.Floats is not null && ((arguments.Offset ?? arguments.Slope) is not null || arguments.Softness > 0))
            throw new ArgumentException("Offsets in front of rounding and ramps are in steps, which grids of floats do not have.", nameof(arguments));
        if (arguments.MaxCode < 1) throw new ArgumentException($"The largest code is {arguments.MaxCode}; it is 2^bits - 1.", nameof(arguments));
    }

    private static void Attention(in AttentionShape shape, in AttentionTerms terms, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp)
    {
        bool sane = shape.Batch > 0 && shape.QueryLength > 0 && shape.KeyLength >= shape.QueryLength && shape.KeyValueHeads > 0 && shape.Heads > 0
            && shape.Heads % shape.KeyValueHeads == 0 && shape.HeadSize > 0 && shape.Window >= 0 && shape.SoftCap >= 0
            && shape.Chunk >= 0 && shape.ValueHead >= 0;
        if (!sane) throw new ArgumentException($"Impossible sizes: {shape}.", nameof(shape));
        long queries = (long)shape.Batch * shape.QueryLength, keys = (long)shape.Batch * shape.KeyLength * shape.KeyValueHeads;
        Count(q, queries * shape.Heads * shape.HeadSize);
        Count(k, keys * shape.HeadSize);
        Count(v, keys * shape.ValueHeadSize);
        Count(y, queries * shape.Heads * shape.ValueHeadSize);
        Count(logSumExp, queries * shape.Heads);
        Count(terms.Sinks, shape.Heads);
        if (terms.KeyBias is { } bias && (bias.Rows != shape.Heads || bias.Columns < shape.KeyLength))
            throw Fault(bias, $"has to be [{shape.Heads}, at least {shape.KeyLength}]");
    }

    private static (int Rows, int Columns) Matrix(Tensor x, bool transpose) => transpose ? (x.Columns, x.Rows) : (x.Rows, x.Columns);

    private static void NotEmpty(Tensor x, [CallerArgumentExpression(nameof(x))] string name = "")
    {
        if (x.Columns == 0) throw Fault(x, "has to have columns", name);
    }

    private static void Same(
        Tensor? x, Tensor y, [CallerArgumentExpression(nameof(x))] string name = "", [CallerArgumentExpression(nameof(y))] string other = "")
    {
        if (x is not null && x.Count != y.Count) throw Fault(x, $"has to have the {y.Count} elements of '{other}', {y}", name);
    }

    private static void Count(Tensor? x, long count, [CallerArgumentExpression(nameof(x))] string name = "")
    {
        if (x is not null && x.Count != count) throw Fault(x, $"has to have {count} elements", name);
    }

    private static void Length(int length, int rows, string name)
    {
        if (length != rows) throw new ArgumentException($"'{name}' has {length} elements; it has to have one for each of the {rows} rows.", name);
    }

    private static void Ids(ReadOnlySpan<int> ids, int first, int end, [CallerArgumentExpression(nameof(ids))] string name = "")
    {
        foreach (int id in ids)
        {
            if (id < first || id >= end) throw new ArgumentException($"'{name}' holds {id}; its elements have to lie in {first}..{end - 1}.", name);
        }
    }

    private static void Known(Activation activation)
    {
        if ((uint)activation > (uint)Activation.Identity) throw new ArgumentOutOfRangeException(nameof(activation), activation, "Unknown activation.");
    }

    private static ArgumentException Fault(Tensor x, string rule, [CallerArgumentExpression(nameof(x))] string name = "") =>
        new($"'{name}' is {x}; it {rule}.", name);
}
