using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Evaluation.Depth;

/// <summary>
/// What every quantized linear loses alone: the reference runs with that one weight taken from the model, branch included. The windows stand in front of each block once; every linear of the
/// block has a copy of them that goes on through the blocks behind, so that nothing in front is computed again.
/// </summary>
/// <param name="reference">The reference; not owned.</param>
/// <param name="model">The model, whose blocks are loaded one at a time; not owned.</param>
/// <param name="blocks">The model's blocks where they are not its own; null for its own.</param>
internal sealed class ModuleSwaps(ModelRunner reference, CausalModel model, Func<int, IDecoderBlock>? blocks)
{
    // Logits of so many floats at a time, of each copy.
    private const int LogitBudget = 1 << 23;

    // A block of experts has hundreds of linears; so many copies of the windows at a time lie in memory, or on disk beyond it.
    private const int CopiesTogether = 32;

    /// <summary>
    /// Why no linear of the model can stand in the reference: transforms moved factors between linears and norms, so that a weight by itself does not belong there. Null where one can. A norm
    /// that is stored in fewer digits is the same norm.
    /// </summary>
    public static string? Obstacle(CausalModel reference, CausalModel model)
    {
        if (reference.Config.Layers != model.Config.Layers || reference.Config.HiddenSize != model.Config.HiddenSize) return "the models have blocks of other sizes";
        for (int i = 0; i < model.Config.Layers; i++)
        {
            Dictionary<string, (int, int)> places = reference.Layout.AllLinears[i].ToDictionary(linear => linear.Name, linear => (linear.OutFeatures, linear.InFeatures), StringComparer.Ordinal);
            foreach (LinearShape linear in model.LinearsOf(i))
            {
                if (places.GetValueOrDefault(linear.Name) != (linear.OutFeatures, linear.InFeatures)) return $"the reference has no linear of the name and shape of '{model.BlockName(i)}.{linear.Name}'";
            }
        }
        // Half of a percent is what bfloat16 drops.
        const double rounding = 0.005;
        string[] names = [.. PlainTensors(reference)], others = [.. PlainTensors(model)];
        // One family lists its tensors in one order, whatever a file calls them.
        if (names.Length != others.Length) (names, others) = ([.. names.Intersect(others, StringComparer.Ordinal)], [.. names.Intersect(others, StringComparer.Ordinal)]);
        foreach ((string name, string twin) in names.Zip(others))
        {
            float[] own = Read(reference, name), other = Read(model, twin);
            double distance = 0, length = 0;
            for (int i = 0; i < Math.Min(own.Length, other.Length); i++) (distance, length) = (distance + Math.Pow((double)own[i] - other[i], 2), length + Math.Pow(own[i], 2));
            if (own.Length != other.Length || distance > rounding * rounding * length)
                return $"'{twin}' is another tensor in the model, as transforms of a model leave it, and then its linears do not fit into the reference one by one";
        }
        return null;
    }

    /// <summary>Exchanges all quantized linears, one by one.</summary>
    /// <param name="windows">At least one.</param>
    /// <param name="progress">Told blocks done; null for nobody.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <returns>In model order.</returns>
    public IReadOnlyList<ModuleLoss> Measure(IReadOnlyList<DepthWindow> windows, Action<int>? progress, CancellationToken cancellation)
    {
        int[][] ids = [.. windows.Select(window => window.Ids)];
        int layers = model.Config.Layers;
        using ActivationStream expected = reference.Embed(ids, cancellation, blocksStay: true);
        using ActivationStream stream = expected.Fork();
        for (int i = 0; i < layers; i++) reference.WithBlock(i, block => expected.Advance(block, null, cancellation));
        var losses = new List<ModuleLoss>();
        for (int i = 0; i < layers; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            losses.AddRange(OfBlock(i, windows, stream, expected, cancellation));
            progress?.Invoke(i + 1);
        }
        reference.Model.Device.Trim();
        return losses;
    }

    private List<ModuleLoss> OfBlock(int index, IReadOnlyList<DepthWindow> windows, ActivationStream stream, ActivationStream expected, CancellationToken cancellation)
    {
        var losses = new List<ModuleLoss>();
        using IDecoderBlock stored = blocks?.Invoke(index) ?? model.LoadBlock(index);
        foreach (LinearSlot[] some in stored.Slots.Chunk(CopiesTogether)) losses.AddRange(OfLinears(index, some, windows, stream, expected, cancellation));
        reference.WithBlock(index, own => stream.Advance(own, null, cancellation));
        return losses;
    }

    private List<ModuleLoss> OfLinears(
        int index, LinearSlot[] linears, IReadOnlyList<DepthWindow> windows, ActivationStream stream, ActivationStream expected, CancellationToken cancellation)
    {
        var losses = new List<ModuleLoss>();
        var copies = new List<ActivationStream>();
        var moved = new List<int>();
        try
        {
            reference.WithBlock(index, own =>
            {
                Dictionary<string, LinearSlot> places = own.Slots.Concat(own.Kept).ToDictionary(slot => slot.Name, StringComparer.Ordinal);
                foreach (LinearSlot slot in linears)
                {
                    LinearSlot place = places[slot.Name];
                    float[] values = slot.WeightValues();
                    if (!values.AsSpan().SequenceEqual(place.WeightValues()))
                    {
                        ActivationStream copy = stream.Fork();
                        copies.Add(copy);
                        moved.Add(losses.Count);
                        Exchanged(place, values, () => copy.Advance(own, null, cancellation));
                    }
                    losses.Add(Describe(index, slot));
                }
            });
            if (copies.Count == 0) return losses;
            for (int i = index + 1; i < model.Config.Layers; i++)
            {
                reference.WithBlock(i, block =>
                {
                    foreach (ActivationStream copy in copies) copy.Advance(block, null, cancellation);
                });
            }
            double[] divergences = Divergences(windows, copies, expected, cancellation);
            for (int i = 0; i < moved.Count; i++) losses[moved[i]] = losses[moved[i]] with { KlDivergence = divergences[i] };
            return losses;
        }
        finally
        {
            foreach (ActivationStream copy in copies) copy.Dispose();
        }
    }

    private void Exchanged(LinearSlot place, float[] values, Action action)
    {
        IWeightSource before = place.Exchange(new DenseWeight(reference.Model.Device.From(values, place.OutFeatures, place.InFeatures)));
        try
        {
            action();
        }
        finally
        {
            place.Exchange(before).Dispose();
        }
    }

    // Its divergence is 0 until it is known to be exchanged.
    private ModuleLoss Describe(int index, LinearSlot slot)
    {
        string module = $"{model.BlockName(index)}.{slot.Name}";
        double bits = (double)model.Checkpoint.StoredBitsOf(module + ".weight") / ((double)slot.OutFeatures * slot.InFeatures);
        int rank = model.Checkpoint is AdaptedCheckpoint adapted && adapted.Adapter.Modules.Contains(module) ? adapted.Adapter.RankOf(module) : 0;
        return new ModuleLoss(index, slot.Name, 0, bits, rank);
    }

    // Means over all compared positions, summed in their order.
    private double[] Divergences(IReadOnlyList<DepthWindow> windows, List<ActivationStream> copies, ActivationStream expected, CancellationToken cancellation)
    {
        var sums = new double[copies.Count];
        long positions = 0;
        OutputHead head = reference.Head;
        Device device = reference.Model.Device;
        int step = Math.Clamp(LogitBudget / head.VocabularySize, 16, 1024);
        using Tensor wanted = device.Empty(expected.Rows, expected.Columns), found = device.Empty(expected.Rows, expected.Columns);
        for (int window = 0; window < windows.Count; window++)
        {
            (int length, int first, int end) = (windows[window].Ids.Length, windows[window].First, windows[window].End);
            expected.Read(window, wanted.RowRange(0, length));
            for (int row = first; row < end; row += step)
            {
                cancellation.ThrowIfCancellationRequested();
                int count = Math.Min(step, end - row);
                using var tape = new Tape(device, recording: false);
                Tensor logits = head.Logits(tape, new Variable(wanted.RowRange(row, count))).Value;
                var divergences = new double[count];
                for (int i = 0; i < copies.Count; i++)
                {
                    copies[i].Read(window, found.RowRange(0, length));
                    using var own = new Tape(device, recording: false);
                    device.Kernels.KlDivergence(logits, head.Logits(own, new Variable(found.RowRange(row, count))).Value, divergences);
                    foreach (double divergence in divergences) sums[i] += divergence;
                }
            }
            positions += end - first;
        }
        return [.. sums.Select(sum => sum / positions)];
    }

    // Norms and other tensors that stand by themselves; biases move with what is learned.
    private static IEnumerable<string> PlainTensors(CausalModel model)
    {
        HashSet<string> linears = [.. model.Layout.Modules.Concat(model.Layout.KeptModules).Select(linear => linear.Name + ".weight")];
        return model.Layout.Tensors.Where(tensor => tensor.View is null && !linears.Contains(tensor.Name) && !tensor.Name.EndsWith(".bias", StringComparison.Ordinal)).Select(tensor => tensor.Name);
    }

    private static float[] Read(CausalModel of, string name)
    {
        var values = new float[of.Checkpoint.ShapeOf(name).Aggregate(1L, (product, size) => product * size)];
        of.Checkpoint.Read(name, values);
        return values;
    }
}
