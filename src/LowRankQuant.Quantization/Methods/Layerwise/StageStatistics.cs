using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Layerwise;

/// <summary>Runs a block over calibration windows and collects what its linears see.</summary>
/// <param name="block">The block.</param>
/// <param name="device">Where it computes.</param>
/// <param name="memory">Bytes that statistics may take together; more of them are taken part by part.</param>
/// <param name="cancellation">Asks to stop.</param>
internal sealed class StageStatistics(IDecoderBlock block, Device device, long memory, CancellationToken cancellation)
{
    private IReadOnlyList<InputStage>? _stages;

    /// <summary>What linears get in the full-precision model, where that was kept on the way; it is read in the place of passes through the full-precision block.</summary>
    public RecordedInputs? FullPrecisionInputs { get; init; }

    /// <summary>Which tokens of every window statistics take; null for all. Only for blocks without experts, whose linears get the tokens of a window in order.</summary>
    public IReadOnlyList<bool[]>? Masks { get; init; }

    /// <summary>The stages of the block, found by its first run.</summary>
    /// <param name="stream">Windows at its input.</param>
    public IReadOnlyList<InputStage> Stages(ActivationStream stream) => _stages ??= InputStages.Find(block, () => Run(stream, 0));

    /// <summary>
    /// Input statistics of the stages from one on that fit the memory together, of that one at least, in the full-precision model: from what was kept of it, or in one run over the
    /// windows. Stages of several sites are left out: they are taken part by part by <see cref="Pair"/>.
    /// </summary>
    /// <param name="first">The first stage, one of a single site.</param>
    /// <param name="input">Windows at the input of the block, which is in full precision.</param>
    /// <param name="windows">The windows to use.</param>
    /// <returns>By the number of the stage.</returns>
    public Dictionary<int, InputStatistics> From(int first, ActivationStream input, WindowRange windows)
    {
        var taken = new List<int>();
        long bytes = 0;
        foreach (int stage in SingleStages(input).Where(stage => stage >= first))
        {
            bytes += SecondMoments.BytesOf(block.Slots[Stages(input)[stage].Sites[0].First].InFeatures);
            if (bytes > memory && taken.Count > 0) break;
            taken.Add(stage);
        }
        var known = taken.Where(stage => Recorded(stage, input) is not null).ToDictionary(stage => stage, stage => Read(Recorded(stage, input)!, windows));
        taken.RemoveAll(known.ContainsKey);
        // The first stage is there before anything of the block is computed.
        if (taken is [0]) known[0] = Pair(0, input, input, windows, .., cross: false, () => { }, () => { })[0].Statistics;
        else if (taken.Count > 0) foreach ((int stage, InputStatistics found) in Collect(taken, input, windows, Look(input, windows))) known[stage] = found;
        return known;
    }

    /// <summary>Shows the statistics of every site of every stage, with the block as it stands.</summary>
    /// <param name="stream">Windows at the input of the block.</param>
    /// <param name="windows">The windows to use.</param>
    /// <param name="advance">Whether the stream then holds the next block's input; the windows are all of it.</param>
    /// <param name="visit">Given stage, site and its statistics.</param>
    public void Visit(ActivationStream stream, WindowRange windows, bool advance, Action<int, InputSite, InputStatistics> visit)
    {
        IReadOnlyList<InputStage> stages = Stages(stream);
        for (int stage = 0; stage < stages.Count; stage++)
        {
            IReadOnlyList<InputSite> sites = stages[stage].Sites;
            if (sites.Count == 1) continue;
            foreach (Range some in ExpertPool.Parts(sites, block.Slots, memory))
            {
                StageInputs[] inputs = Pair(stage, stream, stream, windows, some, cross: false, () => { }, () => { });
                int first = some.GetOffsetAndLength(sites.Count).Offset;
                for (int i = 0; i < inputs.Length; i++) visit(stage, sites[first + i], inputs[i].Statistics);
            }
        }
        Dictionary<int, InputStatistics> single = Collect(
            SingleStages(stream), stream, windows, advance ? pass => stream.Advance(block, (window, _) => pass(window), cancellation, batch: 1) : Look(stream, windows));
        foreach (int stage in SingleStages(stream))
        {
            single.Remove(stage, out InputStatistics? only);
            visit(stage, stages[stage].Sites[0], only!);
        }
    }

    /// <summary>
    /// Statistics of one stage's inputs in the quantized model, site by site, and their product with the full-precision ones: C = Xfp^T Xq / tokens [n, n].
    /// </summary>
    /// <param name="stage">Number of the stage.</param>
    /// <param name="fullInput">Windows at the input of the block on the full-precision stream.</param>
    /// <param name="quantizedInput">Windows at the input of the block on the quantized stream.</param>
    /// <param name="windows">The windows to use.</param>
    /// <param name="sites">The sites of the stage that are wanted.</param>
    /// <param name="cross">Whether C is wanted; else it is null.</param>
    /// <param name="useDense">Puts the full-precision weights into the block.</param>
    /// <param name="useQuantized">Puts the weights quantized so far into the block.</param>
    public StageInputs[] Pair(
        int stage, ActivationStream fullInput, ActivationStream quantizedInput, WindowRange windows, Range sites, bool cross, Action useDense, Action useQuantized)
    {
        IReadOnlyList<InputSite> all = Stages(quantizedInput)[stage].Sites;
        (int firstSite, int siteCount) = sites.GetOffsetAndLength(all.Count);
        LinearSlot[] slots = [.. all.Skip(firstSite).Take(siteCount).Select(site => block.Slots[site.First])];
        InputStatistics[] statistics = [.. slots.Select(slot => new InputStatistics(slot.InFeatures))];
        SegmentedMatrix?[] sums = [.. slots.Select(slot => cross ? new SegmentedMatrix((long)slot.InFeatures * slot.InFeatures) : null)];
        var kept = new Tensor?[slots.Length];
        try
        {
            for (int i = 0; i < windows.Count; i++)
            {
                int window = windows.First + i;
                useQuantized();
                RunTo(stage, quantizedInput, window, sites, (site, x) => Checked(slots[site - firstSite], () =>
                {
                    WithMask(window, x, chosen =>
                    {
                        statistics[site - firstSite].Add(chosen);
                        if (cross) Keep(ref kept[site - firstSite], chosen);
                    });
                }));
                if (cross)
                {
                    InFullPrecision(stage, fullInput, window, sites, useDense, (site, x) => WithMask(window, x, chosen => AddProduct(sums[site - firstSite]!, chosen, kept[site - firstSite]!)));
                }
                if (!WindowSegments.EndsSegment(i, windows.Count)) continue;
                for (int site = 0; site < slots.Length; site++)
                {
                    statistics[site].EndSegment();
                    sums[site]?.EndSegment();
                }
            }
        }
        finally
        {
            useQuantized();
            foreach (Tensor? tensor in kept) tensor?.Dispose();
        }
        return [.. statistics.Select((known, site) => new StageInputs(known, Mean(sums[site], known.Tokens)))];
    }

    /// <summary>
    /// Statistics of all sites of a stage together, and of the product with their full-precision inputs: what stands for an expert that hardly any token reaches.
    /// </summary>
    /// <inheritdoc cref="Pair"/>
    public StageInputs Pool(
        int stage, ActivationStream fullInput, ActivationStream quantizedInput, WindowRange windows, bool cross, Action useDense, Action useQuantized)
    {
        IReadOnlyList<InputSite> all = Stages(quantizedInput)[stage].Sites;
        LinearSlot[] slots = [.. all.Select(site => block.Slots[site.First])];
        int n = slots[0].InFeatures;
        var statistics = new InputStatistics(n);
        SegmentedMatrix? sum = cross ? new SegmentedMatrix((long)n * n) : null;
        var kept = new Tensor?[slots.Length];
        try
        {
            for (int i = 0; i < windows.Count; i++)
            {
                int window = windows.First + i;
                useQuantized();
                RunTo(stage, quantizedInput, window, .., (site, x) => Checked(slots[site], () =>
                {
                    statistics.Add(x);
                    if (cross) Keep(ref kept[site], x);
                }));
                if (sum is not null)
                {
                    InFullPrecision(stage, fullInput, window, .., useDense, (site, x) => AddProduct(sum, x, kept[site]!));
                }
                if (!WindowSegments.EndsSegment(i, windows.Count)) continue;
                statistics.EndSegment();
                sum?.EndSegment();
            }
        }
        finally
        {
            useQuantized();
            foreach (Tensor? tensor in kept) tensor?.Dispose();
        }
        return new StageInputs(statistics, Mean(sum, statistics.Tokens));
    }

    // Tokens go where they went in the quantized model, so that the two inputs of an expert are of the same tokens.
    private void InFullPrecision(int stage, ActivationStream input, int window, Range sites, Action useDense, Action<int, Tensor> observe)
    {
        if (Recorded(stage, input) is { } slot)
        {
            using Tensor x = FullPrecisionInputs!.Read(slot, window, device);
            observe(0, x);
            return;
        }
        foreach (RouterChoice router in block.Routers) router.Given = router.Last;
        useDense();
        RunTo(stage, input, window, sites, observe);
        foreach (RouterChoice router in block.Routers) router.Given = null;
    }

    // The linear under which inputs of a stage were kept; null where they were not.
    private LinearSlot? Recorded(int stage, ActivationStream input)
    {
        LinearSlot slot = block.Slots[Stages(input)[stage].Sites[0].First];
        return FullPrecisionInputs?.Has(slot) == true ? slot : null;
    }

    private InputStatistics Read(LinearSlot slot, WindowRange windows)
    {
        var statistics = new InputStatistics(slot.InFeatures);
        for (int i = 0; i < windows.Count; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            using Tensor x = FullPrecisionInputs!.Read(slot, windows.First + i, device);
            Checked(slot, () => WithMask(windows.First + i, x, statistics.Add));
            if (WindowSegments.EndsSegment(i, windows.Count)) statistics.EndSegment();
        }
        return statistics;
    }

    private static double[]? Mean(SegmentedMatrix? sum, long tokens)
    {
        double[]? mean = sum?.Total;
        for (int i = 0; i < mean?.Length; i++) mean[i] /= Math.Max(1, tokens);
        return mean;
    }

    private static void Keep(ref Tensor? kept, Tensor x)
    {
        if (kept is null || !kept.Shape.SequenceEqual(x.Shape))
        {
            kept?.Dispose();
            kept = x.Device.Empty(x.Shape);
        }
        x.Device.Kernels.Copy(x, kept);
    }

    private void AddProduct(SegmentedMatrix sum, Tensor full, Tensor x)
    {
        using Tensor product = device.Empty(x.Columns, x.Columns);
        device.Kernels.MatMul(full, true, x, false, product, accumulate: false);
        sum.Add(product);
    }

    private int[] SingleStages(ActivationStream stream) => [.. Enumerable.Range(0, Stages(stream).Count).Where(stage => Stages(stream)[stage].Sites.Count == 1)];

    private Action<Action<int>> Look(ActivationStream input, WindowRange windows) =>
        visit => input.Look(block, windows.First, windows.Count, (window, _) => visit(window - windows.First), cancellation, batch: 1);

    private Dictionary<int, InputStatistics> Collect(IReadOnlyList<int> taken, ActivationStream stream, WindowRange windows, Action<Action<int>> pass)
    {
        int first = windows.First;
        LinearSlot[] firsts = [.. taken.Select(stage => block.Slots[Stages(stream)[stage].Sites[0].First])];
        InputStatistics[] statistics = [.. firsts.Select(slot => new InputStatistics(slot.InFeatures))];
        int current = first;
        try
        {
            for (int i = 0; i < firsts.Length; i++)
            {
                int site = i;
                firsts[i].InputObserver = x => Checked(firsts[site], () => WithMask(current, x, statistics[site].Add));
            }
            pass(window =>
            {
                current = first + window + 1;
                if (!WindowSegments.EndsSegment(window, windows.Count)) return;
                foreach (InputStatistics site in statistics) site.EndSegment();
            });
        }
        finally
        {
            foreach (LinearSlot slot in firsts) slot.InputObserver = null;
        }
        return taken.Zip(statistics).ToDictionary(pair => pair.First, pair => pair.Second);
    }

    // The tokens of a window that count, in their order.
    private void WithMask(int window, Tensor x, Action<Tensor> add)
    {
        bool[]? mask = Masks?[window];
        if (mask is not null && mask.Length != x.Rows) throw new ArgumentException($"{block.Name} hands its linears {x.Rows} of {mask.Length} tokens, which cannot be told apart.");
        MaskedRows.See(x, mask, add);
    }

    private void Checked(LinearSlot slot, Action add)
    {
        try
        {
            add();
        }
        catch (CalibrationException failure)
        {
            throw new CalibrationException($"{block.Name}.{slot.Name}: {failure.Message} Finished blocks are kept.", failure);
        }
    }

    private void RunTo(int stage, ActivationStream input, int window, Range sites, Action<int, Tensor> observe) =>
        InputStages.RunTo(block, Stages(input), stage, sites, observe, () => Run(input, window));

    private void Run(ActivationStream stream, int window)
    {
        cancellation.ThrowIfCancellationRequested();
        using Tensor x = device.Empty(stream.LengthOf(window), stream.Columns);
        using var tape = new Tape(device, recording: false);
        stream.Forward(block, tape, [window], x);
    }
}
