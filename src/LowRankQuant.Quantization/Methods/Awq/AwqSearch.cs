using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra.Vectors;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Transforms;

namespace LowRankQuant.Quantization.Methods.Awq;

/// <summary>What was found for a site.</summary>
/// <param name="Site">The site.</param>
/// <param name="Factors">Its factors, [channels].</param>
/// <param name="Candidate">What they are made of.</param>
/// <param name="Errors">Of all candidates, in the order of <see cref="AwqCandidate.All"/>.</param>
internal sealed record AwqChoice(FoldSite Site, float[] Factors, AwqCandidate Candidate, IReadOnlyList<double> Errors);

/// <summary>
/// AWQ's search: of all candidates for the factors s of a site the one with the least error of what its sub-layer gives, with Q(W s) / s in the place of the weights that read the site.
/// Every site is searched by itself, with all other weights and inputs as they are.
/// <code>
/// behind a norm        mean squared difference of what the sub-layer gives (<see cref="SubLayerOutput"/>)
/// behind v, behind up  what the linear gives: tr(D H D^T) / rows,  D = Q(W s) / s - W,  H = X^T X / tokens
/// </code>
/// </summary>
/// <param name="block">The block, its weights floats.</param>
/// <param name="inputs">Windows in front of the block.</param>
/// <param name="looked">The first so many are looked at, and which of their tokens.</param>
/// <param name="scheme">How weights will be quantized.</param>
/// <param name="options">Choices.</param>
/// <param name="cancellation">Asks to stop.</param>
internal sealed class AwqSearch(IDecoderBlock block, ActivationStream inputs, LookedAt looked, Scheme scheme, AwqOptions options, CancellationToken cancellation)
{
    private readonly AwqCandidate[] _candidates = AwqCandidate.All(options);

    /// <summary>Searches sites of the block, which is left as it was.</summary>
    public IReadOnlyList<AwqChoice> Find(IReadOnlyList<FoldSite> sites)
    {
        if (sites.Count == 0) return [];
        double[][] magnitudes = AwqMagnitudes.OfInputs(block, sites, inputs, looked, cancellation);
        float[][][] factors = [.. sites.Select((site, i) => Factors(site, magnitudes[i]))];
        var errors = new double[sites.Count][];
        IReadOnlyList<InputStage> stages = InputStages.Find(block, () => inputs.Look(block, 0, 1, (_, _) => { }, cancellation, batch: 1));
        for (int i = 0; i < sites.Count; i++)
        {
            if (sites[i].Kind == FoldKind.Norm) errors[i] = BehindNorm(sites[i], factors[i], stages);
        }
        foreach (int[] part in Parts(sites))
        {
            InputStatistics[] statistics = Statistics([.. part.Select(i => sites[i])]);
            for (int i = 0; i < part.Length; i++) errors[part[i]] = BehindLinear(sites[part[i]], factors[part[i]], statistics[i]);
        }
        return [.. sites.Select((site, i) => Best(site, factors[i], errors[i]))];
    }

    private float[][] Factors(FoldSite site, double[] magnitudes)
    {
        double[] weights = AwqMagnitudes.OfWeights(site, slot => RangeGrid.GroupSize(SchemeOf(slot).Grid, slot.InFeatures));
        return [.. _candidates.Select(candidate => AwqFactors.Of(magnitudes, weights, candidate))];
    }

    private AwqChoice Best(FoldSite site, float[][] factors, double[] errors)
    {
        int best = -1;
        for (int i = 0; i < errors.Length; i++)
        {
            if (!double.IsNaN(errors[i]) && (best < 0 || errors[i] < errors[best])) best = i;
        }
        if (best < 0) throw new TransformException($"{block.Name}: none of {errors.Length} candidates for the factors of {site.Source} gave an error that is a number; weights or inputs are not finite.");
        return new AwqChoice(site, factors[best], _candidates[best], errors);
    }

    private double[] BehindNorm(FoldSite site, float[][] factors, IReadOnlyList<InputStage> stages)
    {
        using var output = new SubLayerOutput(block, site, stages, inputs, looked, cancellation);
        IWeightSource[] dense = [.. site.Slots.Select(slot => slot.Weight)];
        var errors = new double[factors.Length];
        try
        {
            for (int i = 0; i < errors.Length; i++)
            {
                for (int j = 0; j < dense.Length; j++)
                {
                    LinearSlot slot = site.Slots[j];
                    Put(slot, new DenseWeight(inputs.Device.From(Rounded(site, slot, ((IValueSource)dense[j]).ToArray(), factors[i]), slot.OutFeatures, slot.InFeatures)));
                }
                errors[i] = output.Error();
            }
        }
        finally
        {
            for (int i = 0; i < dense.Length; i++) Put(site.Slots[i], dense[i]);
        }
        return errors;

        void Put(LinearSlot slot, IWeightSource weight)
        {
            IWeightSource old = slot.Exchange(weight);
            if (!dense.Contains(old)) old.Dispose();
        }
    }

    private double[] BehindLinear(FoldSite site, float[][] factors, InputStatistics statistics)
    {
        WorkerPool workers = inputs.Device.HostWorkers;
        var metric = new CovarianceMetric(statistics.Covariance, statistics.Size);
        int rows = site.Slots.Sum(slot => slot.OutFeatures);
        var errors = new double[factors.Length];
        for (int i = 0; i < errors.Length; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            foreach (LinearSlot slot in site.Slots)
            {
                float[] weight = slot.WeightValues(), rounded = Rounded(site, slot, [.. weight], factors[i]);
                var difference = new double[weight.Length];
                for (int at = 0; at < difference.Length; at++) difference[at] = (double)rounded[at] - weight[at];
                double[] image = metric.Multiply(difference, slot.OutFeatures, workers);
                errors[i] += VectorKernels.Dot<double>(difference, image) / rows;
            }
        }
        return errors;
    }

    // Q(W s) / s in the place of W, [out, in].
    private float[] Rounded(FoldSite site, LinearSlot slot, float[] weight, float[] factors)
    {
        int columns = slot.InFeatures;
        var own = new float[columns];
        for (int column = 0; column < columns; column++) own[column] = factors[site.FactorOf(column)];
        for (int i = 0; i < weight.Length; i++) weight[i] *= own[i % columns];
        WorkerPool workers = inputs.Device.HostWorkers;
        QuantizedWeight rounded = FittedGrid.Find(weight, slot.OutFeatures, columns, SchemeOf(slot), workers).Round(weight, default, workers);
        rounded.Dequantize(weight);
        for (int i = 0; i < weight.Length; i++) weight[i] /= own[i % columns];
        return weight;
    }

    private Scheme SchemeOf(LinearSlot slot) => scheme.For($"{block.Name}.{slot.Name}");

    // Sites that are no norm's, as many at a time as their second moments fit the memory that statistics take.
    private static List<int[]> Parts(IReadOnlyList<FoldSite> sites)
    {
        var parts = new List<int[]>();
        var part = new List<int>();
        long bytes = 0;
        for (int i = 0; i < sites.Count; i++)
        {
            if (sites[i].Kind == FoldKind.Norm) continue;
            long more = SecondMoments.BytesOf(sites[i].Slots[0].InFeatures);
            if (part.Count > 0 && bytes + more > BlockContext.MostStatisticsBytes)
            {
                parts.Add([.. part]);
                part.Clear();
                bytes = 0;
            }
            part.Add(i);
            bytes += more;
        }
        if (part.Count > 0) parts.Add([.. part]);
        return parts;
    }

    private InputStatistics[] Statistics(FoldSite[] sites)
    {
        InputStatistics[] statistics = [.. sites.Select(site => new InputStatistics(site.Slots[0].InFeatures))];
        SiteInputs.Look(block, sites, inputs, looked, (site, rows) => statistics[site].Add(rows), cancellation, window =>
        {
            if (!WindowSegments.EndsSegment(window, looked.Count ?? inputs.Windows)) return;
            foreach (InputStatistics site in statistics) site.EndSegment();
        });
        return statistics;
    }
}
