using System.Globalization;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Activations;

/// <summary>
/// Finds the quantizers of a block: which linears share an input, and the steps of static grids from calibration windows that pass the block in full precision, as many
/// times as the rule of the range needs.
/// </summary>
/// <param name="block">The block, in full precision and with all transforms.</param>
/// <param name="device">Where it computes.</param>
/// <param name="stored">The type in which steps are stored.</param>
internal sealed class QuantizerFitting(IDecoderBlock block, Device device, ScaleType stored)
{
    /// <summary>Windows over which errors are measured, which are told and not optimised.</summary>
    public const int ErrorWindows = 8;

    // An input with a larger error is given steps per token where that is left to us.
    private const double UsualLimit = 0.3;

    private const string Auto = "auto";

    /// <summary>Finds them.</summary>
    /// <param name="activations">Quantizers of inputs; null for none.</param>
    /// <param name="caches">Quantizers of keys and values; null for none.</param>
    /// <param name="stream">Windows in front of the block; stays where it is.</param>
    /// <param name="windows">The first so many are looked at.</param>
    /// <param name="measured">Whether the error of every input is measured.</param>
    /// <param name="cancellation">Asks to stop.</param>
    /// <param name="lastPass">
    /// Takes all windows of the stream through the block, which is given, one by one, in order and for good, and tells the number of each and what came out: it is the last pass
    /// that ranges need, where they need any. Null where the stream has to stay.
    /// </param>
    public BlockQuantizers Find(
        ActivationRecipe? activations, CacheRecipe? caches, ActivationStream? stream, int windows, bool measured, CancellationToken cancellation,
        Action<IDecoderBlock, Action<int, Tensor>>? lastPass = null)
    {
        for (int i = 0; caches is not null && i < block.Caches.Count; i++) block.Caches[i].BeforeRotation = caches.BeforeRotation && block.Caches[i].Kind == CacheKind.Keys;
        // Where all linears stay in their own type none has a quantized input.
        if (block.Slots.Count == 0) activations = null;
        IReadOnlyList<InputSite> sites = activations is null || stream is null ? []
            : [.. InputStages.Find(block, () => stream.Look(block, 0, 1, (_, _) => { }, cancellation, batch: 1)).SelectMany(stage => stage.Sites)];
        bool fixedInputs = activations is { Grid.IsDynamic: false }, fixedCaches = caches is { Grid.IsDynamic: false };
        long most = stream is null ? 0 : (long)windows * stream.Rows;
        HashSet<int> perToken = activations is null ? [] : [.. Enumerable.Range(0, sites.Count).Where(site => IsPerToken(activations, sites[site]))];
        var inputs = new RangeEstimator?[sites.Count];
        for (int i = 0; fixedInputs && i < inputs.Length; i++)
        {
            if (!perToken.Contains(i)) inputs[i] = RangeEstimator.Create(activations!.Range, activations.Grid, 1, most * block.Slots[sites[i].First].InFeatures, device.HostWorkers);
        }
        RangeEstimator[] remembered = fixedCaches
            ? [.. block.Caches.Select(site => RangeEstimator.Create(caches!.Range, caches.Grid, site.Heads, most * site.Heads * site.HeadSize, device.HostWorkers))]
            : [];
        int told = Math.Min(windows, ErrorWindows);
        measured &= activations is not null && stream is not null;
        using ActivationStream? kept = measured && lastPass is not null && (fixedInputs || fixedCaches) ? stream!.First(told) : null;
        bool[] reached = !(fixedInputs || fixedCaches) ? []
            : Collect(stream ?? throw new ArgumentException("Static steps come from calibration windows.", nameof(stream)), windows, sites, inputs, remembered, lastPass, cancellation);
        var found = new List<InputQuantizer>();
        if (activations is not null) found.AddRange(Inputs(activations, sites, inputs, reached));
        var quantizers = new BlockQuantizers(block, device, found, [.. Caches(caches, remembered)]);
        if (!measured) return quantizers;
        double? limit = LimitOf(activations!);
        quantizers.Reports = Errors(quantizers, kept ?? stream!, told, cancellation);
        if (limit is null || !fixedInputs || quantizers.Reports.All(report => !(report.Error > limit))) return quantizers;
        for (int i = 0; i < found.Count; i++)
        {
            if (found[i].Steps.Length == 0 || !(quantizers.Reports[i].Error > limit)) continue;
            found[i].Quantizer.Dispose();
            found[i] = InputQuantizer.Dynamic(found[i].Slots, activations!.TokenGrid);
        }
        quantizers.Reports = Errors(quantizers, kept ?? stream!, told, cancellation);
        return quantizers;
    }

    private IEnumerable<InputQuantizer> Inputs(ActivationRecipe activations, IReadOnlyList<InputSite> sites, RangeEstimator?[] estimators, bool[] reached)
    {
        if (activations.Grid.IsDynamic)
        {
            // One for all: it rounds every input once.
            yield return InputQuantizer.Dynamic(block.Slots, activations.Grid);
            yield break;
        }
        (double Min, double Max)[] known = [.. estimators.Where((estimator, i) => estimator is not null && reached[i]).Select(estimator => estimator!.RangeOf(0))];
        for (int i = 0; i < sites.Count; i++)
        {
            LinearSlot[] slots = [.. sites[i].Slots.Select(slot => block.Slots[slot])];
            if (estimators[i] is not { } estimator)
            {
                yield return InputQuantizer.Dynamic(slots, activations.TokenGrid);
                continue;
            }
            (double min, double max) = estimator.RangeOf(0);
            // An expert that no token reached takes what all inputs of the block would fit into.
            if (!reached[i] && known.Length > 0) (min, max) = (known.Min(range => range.Min), known.Max(range => range.Max));
            (double step, double zero) = activations.Grid.Of(min, max);
            yield return InputQuantizer.Static(device, slots, activations.Grid, [Stored(step)], activations.Grid.Symmetric ? [] : [(float)zero]);
        }
    }

    private IEnumerable<CacheQuantizer> Caches(CacheRecipe? caches, RangeEstimator[] estimators)
    {
        for (int i = 0; caches is not null && i < block.Caches.Count; i++)
        {
            if (caches.Grid.IsDynamic)
            {
                yield return CacheQuantizer.Dynamic(block.Caches[i], caches.Grid);
                continue;
            }
            (float[] steps, float[] zeros) = estimators[i].Steps();
            yield return CacheQuantizer.Static(device, block.Caches[i], caches.Grid, [.. steps.Select(step => Stored(step))], caches.Grid.Symmetric ? [] : zeros);
        }
    }

    private float Stored(double step) => StorageScale.Round((float)step, stored);

    // Tells which inputs any token reached. A last pass that is somebody else's goes on to windows that are not looked at.
    private bool[] Collect(
        ActivationStream stream, int windows, IReadOnlyList<InputSite> sites, RangeEstimator?[] inputs, RangeEstimator[] caches,
        Action<IDecoderBlock, Action<int, Tensor>>? lastPass, CancellationToken cancellation)
    {
        var reached = new bool[sites.Count];
        int passes = inputs.OfType<RangeEstimator>().Concat(caches).Max(estimator => estimator.Passes);
        for (int pass = 0; pass < passes; pass++)
        {
            int done = 0;
            using (Observed(
                sites, (site, x) =>
                {
                    if (done >= windows) return;
                    reached[site] |= x.Rows > 0;
                    Show(inputs[site], pass, x);
                }, (cache, x) => Show(caches.Length == 0 || done >= windows ? null : caches[cache], pass, x)))
            {
                if (pass == passes - 1 && lastPass is not null) lastPass(block, (window, _) => done = window + 1);
                else stream.Look(block, 0, windows, (_, _) => { }, cancellation, batch: 1);
            }
            foreach (RangeEstimator estimator in inputs.OfType<RangeEstimator>().Concat(caches).Where(estimator => pass < estimator.Passes)) estimator.EndPass();
        }
        return reached;

        static void Show(RangeEstimator? estimator, int pass, Tensor x)
        {
            if (estimator is not null && pass < estimator.Passes) estimator.Add(x.IsOnHost ? x.Span : x.ToArray(), x.Columns);
        }
    }

    /// <summary>The errors of all inputs as they are, before anything rounds them.</summary>
    /// <param name="quantizers">The quantizers of the block, not installed.</param>
    /// <param name="stream">Windows in front of the block; stays where it is.</param>
    /// <param name="windows">The first so many are looked at.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public IReadOnlyList<SiteReport> Errors(BlockQuantizers quantizers, ActivationStream stream, int windows, CancellationToken cancellation)
    {
        IReadOnlyList<InputQuantizer> inputs = quantizers.Inputs;
        double[] error = new double[inputs.Count], whole = new double[inputs.Count];
        var first = inputs.Select(input => input.Slots).ToArray();
        try
        {
            for (int i = 0; i < inputs.Count; i++)
            {
                int place = i;
                // A quantizer for all linears of a block is looked at where each input comes first.
                Tensor? last = null;
                foreach (LinearSlot slot in first[i])
                {
                    slot.InputObserver = x =>
                    {
                        if (ReferenceEquals(x, last)) return;
                        last = x;
                        Add(inputs[place].Quantizer, x, ref error[place], ref whole[place]);
                    };
                }
            }
            stream.Look(block, 0, windows, (_, _) => { }, cancellation, batch: 1);
        }
        finally
        {
            foreach (LinearSlot slot in block.Slots) slot.InputObserver = null;
        }
        return [.. inputs.Select((input, i) => new SiteReport(
            input.Slots.Count == block.Slots.Count ? "all inputs" : string.Join(", ", input.Slots.Select(slot => slot.Name)), input.Quantizer.Grid.Describe(),
            input.Steps.Length == 0 ? null : input.Steps[0], whole[i] > 0 ? Math.Sqrt(error[i] / whole[i]) : 0))];
    }

    private void Add(GridQuantizer quantizer, Tensor x, ref double error, ref double whole)
    {
        using var tape = new Tape(device, recording: false);
        float[] values = x.ToArray(), rounded = quantizer.Apply(tape, new Variable(x)).Value.ToArray();
        for (int i = 0; i < values.Length; i++)
        {
            double difference = (double)rounded[i] - values[i];
            error += difference * difference;
            whole += (double)values[i] * values[i];
        }
    }

    private Observation Observed(IReadOnlyList<InputSite> sites, Action<int, Tensor> input, Action<int, Tensor> cache)
    {
        for (int i = 0; i < sites.Count; i++)
        {
            int site = i;
            block.Slots[sites[i].First].InputObserver = x => input(site, x);
        }
        for (int i = 0; i < block.Caches.Count; i++)
        {
            int place = i;
            block.Caches[i].Observer = x => cache(place, x);
        }
        return new Observation(block);
    }

    private bool IsPerToken(ActivationRecipe activations, InputSite site) => activations.PerToken.Where(pattern => !IsAuto(pattern)).Any(pattern =>
        LinearPattern.Compile(pattern, out _) is { } matches && site.Slots.Any(slot => matches($"{block.Name}.{block.Slots[slot].Name}", block.Slots[slot].Name)));

    /// <summary>Whether a pattern leaves it to errors: auto, or auto:LIMIT.</summary>
    public static bool IsAuto(string pattern) => pattern == Auto || pattern.StartsWith(Auto + ":", StringComparison.Ordinal);

    /// <summary>The limit of such a pattern; null where it is no number above 0.</summary>
    public static double? AutoLimit(string pattern) => pattern == Auto ? UsualLimit
        : double.TryParse(pattern[(Auto.Length + 1)..], NumberStyles.Float, CultureInfo.InvariantCulture, out double limit) && limit > 0 ? limit : null;

    private static double? LimitOf(ActivationRecipe activations) => activations.PerToken.FirstOrDefault(IsAuto) is { } pattern ? AutoLimit(pattern) : null;

    private sealed class Observation(IDecoderBlock block) : IDisposable
    {
        public void Dispose()
        {
            foreach (LinearSlot slot in block.Slots) slot.InputObserver = null;
            foreach (CacheSite site in block.Caches) site.Observer = null;
        }
    }
}
