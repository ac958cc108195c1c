using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Decoder.Folds;

/// <summary>What stands in front of the linears of a fold.</summary>
public enum FoldKind
{
    /// <summary>A norm: its weight and bias are divided.</summary>
    Norm,

    /// <summary>The value projection: its rows and bias are divided, and the columns of the output projection multiplied. Attention is linear in values.</summary>
    Values,

    /// <summary>The up projection of an MLP: its rows and bias are divided, and the columns of the down projection multiplied.</summary>
    Up,
}

/// <summary>An input that cannot be scaled exactly.</summary>
/// <param name="Slot">Number of a slot that reads it.</param>
/// <param name="Name">Name of the slot within the block.</param>
/// <param name="Kind">What would stand in front.</param>
/// <param name="Reason">Why not, half a sentence.</param>
public sealed record RefusedFold(int Slot, string Name, FoldKind Kind, string Reason);

/// <summary>
/// A place in a block where channels can be divided by factors in front of linears, and the linears' columns multiplied by them, without changing what the block
/// computes. Every reader of the channels is part of it, routers and gates that stay floats included.
/// </summary>
public sealed class FoldSite
{
    private readonly BlockTensors _tensors;

    internal FoldSite(BlockTensors tensors, FoldKind kind, string source, IReadOnlyList<LinearSlot> slots, IReadOnlyList<int> readers)
    {
        _tensors = tensors;
        Kind = kind;
        Source = source;
        Slots = slots;
        Readers = readers;
        Channels = slots[0].InFeatures;
        HeadSize = Channels;
    }

    /// <summary>What stands in front.</summary>
    public FoldKind Kind { get; }

    /// <summary>Its name within the block, such as <c>input_layernorm</c> or <c>mlp.up_proj</c>.</summary>
    public string Source { get; }

    /// <summary>The linears that read the channels and are quantized.</summary>
    public IReadOnlyList<LinearSlot> Slots { get; }

    /// <summary>Their numbers in the block.</summary>
    public IReadOnlyList<int> Readers { get; }

    /// <summary>Number of factors: channels of the norm, rows of v or rows of up.</summary>
    public int Channels { get; internal init; }

    /// <summary>Query heads that share a factor; 1 but for <see cref="FoldKind.Values"/> of grouped heads.</summary>
    public int Group { get; internal init; } = 1;

    /// <summary>Elements of a head of <see cref="FoldKind.Values"/>; else all channels.</summary>
    public int HeadSize { get; internal init; }

    /// <summary>Whether it lies within one expert.</summary>
    public bool IsExpert => Kind == FoldKind.Up && Slots[0].IsExpert;

    /// <summary>Readers that stay floats: a router, the gate of a shared expert, a linear that is not quantized.</summary>
    public int OtherReaders => Matrices.Count + Kept.Count;

    internal IReadOnlyList<Tensor> Matrices { get; init; } = [];

    internal IReadOnlyList<LinearSlot> Kept { get; init; } = [];

    internal IChannelNorm? Norm { get; init; }

    internal LinearSlot? Rows { get; init; }

    /// <summary>Which of the rows the channels are; null for all in their order.</summary>
    internal RowPattern? Pattern { get; init; }

    private RowPattern Taken => Pattern ?? RowPattern.Range(0, Channels);

    /// <summary>The factor that a column of the readers has.</summary>
    public int FactorOf(int column) => (column / (Group * HeadSize) * HeadSize) + (column % HeadSize);

    /// <summary>The largest magnitude of every channel's columns over the rows of all readers, [<see cref="Channels"/>].</summary>
    public float[] WeightMaxima()
    {
        var maxima = new float[Channels];
        foreach (LinearSlot slot in Slots.Concat(Kept)) Add(slot.WeightValues(), slot.InFeatures);
        foreach (Tensor matrix in Matrices) Add(matrix.ToArray(), matrix.Columns);
        return maxima;

        void Add(float[] values, int columns)
        {
            int[] factor = Factors(columns);
            for (int start = 0; start < values.Length; start += columns)
            {
                for (int i = 0; i < columns; i++) maxima[factor[i]] = Math.Max(maxima[factor[i]], Math.Abs(values[start + i]));
            }
        }
    }

    /// <summary>Divides what stands in front by the factors and multiplies all readers' columns by them.</summary>
    /// <param name="factors">Positive and finite, [<see cref="Channels"/>].</param>
    /// <param name="undo">Brings the old values back when it is disposed of; null where they are not needed any more.</param>
    /// <exception cref="ArgumentException">Their number is another, or one is not positive and finite.</exception>
    /// <exception cref="InvalidOperationException">A slot holds a weight that is no floats.</exception>
    public void Fold(ReadOnlySpan<float> factors, FoldUndo? undo = null)
    {
        if (factors.Length != Channels) throw new ArgumentException($"{Source}: {factors.Length} factors for {Channels} channels.", nameof(factors));
        for (int i = 0; i < factors.Length; i++)
        {
            if (!(factors[i] > 0 && float.IsFinite(factors[i])))
                throw new ArgumentException($"{Source}: factor {i} is {factors[i]}; factors are positive and finite.", nameof(factors));
        }
        float[] own = factors.ToArray();
        if (Norm is not null) DivideNorm(Norm, own, undo);
        else DivideRows(Rows!, own, undo);
        foreach (LinearSlot slot in Slots.Concat(Kept)) _tensors.Change(slot, values => Multiply(values, slot.InFeatures, own), undo);
        foreach (Tensor matrix in Matrices)
        {
            float[] values = matrix.ToArray();
            Multiply(values, matrix.Columns, own);
            _tensors.Write(matrix, values, undo);
        }
    }

    /// <summary>
    /// Rotates the values of every key head, v Q for each row v, and rotates the output projection's columns of its query heads back, W Q.
    /// </summary>
    /// <param name="rotationOf">The rotation of a key head, of <see cref="HeadSize"/> channels.</param>
    /// <exception cref="InvalidOperationException">The site is no <see cref="FoldKind.Values"/>.</exception>
    public void Rotate(Func<int, IChannelRotation> rotationOf)
    {
        if (Kind != FoldKind.Values) throw new InvalidOperationException($"{Source}: only heads of values are rotated, and this is a {Kind}.");
        int heads = Channels / HeadSize;
        IChannelRotation[] rotations = [.. Enumerable.Range(0, heads).Select(rotationOf)];
        LinearSlot source = Rows!;
        RowPattern taken = Taken;
        WorkerPool workers = _tensors.Workers;
        _tensors.Change(source, values =>
        {
            for (int head = 0; head < heads; head++) Rotations.Rows(values, source.InFeatures, taken.Of(head * HeadSize), rotations[head], workers);
        }, null);
        if (source.Bias is { } bias)
        {
            float[] values = bias.ToArray();
            for (int head = 0; head < heads; head++) Rotations.Columns(values, values.Length, taken.Of(head * HeadSize), rotations[head], null, workers);
            _tensors.Write(bias, values, null);
        }
        foreach (LinearSlot slot in Slots)
        {
            _tensors.Change(slot, values =>
            {
                for (int head = 0; head < heads * Group; head++) Rotations.Columns(values, slot.InFeatures, head * HeadSize, rotations[head / Group], null, workers);
            }, null);
        }
    }

    private int[] Factors(int columns)
    {
        var factor = new int[columns];
        for (int i = 0; i < columns; i++) factor[i] = FactorOf(i);
        return factor;
    }

    private void DivideNorm(IChannelNorm norm, float[] factors, FoldUndo? undo)
    {
        double[] gains = norm.Gains();
        norm.SetGains(_tensors, [.. gains.Select((gain, channel) => gain / factors[channel])], undo);
        if (_tensors.Rounding is not null)
        {
            // What the weight is divided by once it has the digits that are stored is what the columns are multiplied by, so that nothing is lost.
            double[] rounded = norm.Gains();
            for (int i = 0; i < factors.Length; i++)
            {
                if (rounded[i] != 0) factors[i] = (float)(gains[i] / rounded[i]);
            }
        }
        if (norm.Bias is { } bias) Divide(bias, factors, RowPattern.Range(0, factors.Length), undo);
    }

    private void DivideRows(LinearSlot rows, float[] factors, FoldUndo? undo)
    {
        int columns = rows.InFeatures;
        RowPattern taken = Taken;
        _tensors.Change(rows, values =>
        {
            for (int channel = 0; channel < factors.Length; channel++)
            {
                foreach (ref float value in values.AsSpan(taken.Of(channel) * columns, columns)) value /= factors[channel];
            }
        }, undo);
        if (rows.Bias is { } bias) Divide(bias, factors, taken, undo);
    }

    private void Divide(Tensor vector, float[] factors, RowPattern taken, FoldUndo? undo)
    {
        float[] values = vector.ToArray();
        for (int channel = 0; channel < factors.Length; channel++) values[taken.Of(channel)] /= factors[channel];
        _tensors.Write(vector, values, undo);
    }

    private void Multiply(float[] values, int columns, float[] factors)
    {
        int[] factor = Factors(columns);
        for (int start = 0; start < values.Length; start += columns)
        {
            for (int i = 0; i < columns; i++) values[start + i] *= factors[factor[i]];
        }
    }
}
