using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Transforms;

namespace LowRankQuant.Quantization.Methods.Awq;

/// <summary>Mean magnitudes of what the channels of fold sites are made of.</summary>
internal static class AwqMagnitudes
{
    // Keeps a group of zeros from dividing by 0.
    private const double Smallest = 1e-6;

    /// <summary>Mean |x| over the calibration tokens, per site [channels]; 0 where no token came.</summary>
    /// <param name="block">The block; observers of its slots are taken off.</param>
    /// <param name="sites">Its sites.</param>
    /// <param name="inputs">Windows in front of the block.</param>
    /// <param name="windows">The first so many are looked at, and which of their tokens.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public static double[][] OfInputs(IDecoderBlock block, IReadOnlyList<FoldSite> sites, ActivationStream inputs, LookedAt windows, CancellationToken cancellation)
    {
        double[][] sums = [.. sites.Select(site => new double[site.Slots[0].InFeatures])];
        var tokens = new long[sums.Length];
        SiteInputs.Look(block, sites, inputs, windows, Add, cancellation, passed: _ => { });
        return [.. sites.Select((site, i) => PerChannel(site, sums[i], Math.Max(1, tokens[i])))];

        void Add(int site, Tensor rows)
        {
            ReadOnlySpan<float> values = rows.IsOnHost ? rows.Span : rows.ToArray();
            double[] sum = sums[site];
            for (int start = 0; start < values.Length; start += sum.Length)
            {
                ReadOnlySpan<float> row = values.Slice(start, sum.Length);
                for (int i = 0; i < row.Length; i++) sum[i] += Math.Abs(row[i]);
            }
            tokens[site] += rows.Rows;
        }
    }

    /// <summary>Mean of |w| / (largest |w| of its group) over the rows of all linears that read a site, [channels].</summary>
    /// <param name="site">The site.</param>
    /// <param name="groupSize">Inputs of a linear that share a scale.</param>
    public static double[] OfWeights(FoldSite site, Func<LinearSlot, int> groupSize)
    {
        int columns = site.Slots[0].InFeatures;
        var sums = new double[columns];
        long rows = 0;
        foreach (LinearSlot slot in site.Slots)
        {
            float[] weight = slot.WeightValues();
            int size = groupSize(slot);
            for (int start = 0; start < weight.Length; start += size)
            {
                ReadOnlySpan<float> group = weight.AsSpan(start, size);
                double largest = Smallest;
                foreach (float value in group) largest = Math.Max(largest, Math.Abs(value) + Smallest);
                for (int i = 0; i < group.Length; i++) sums[(start % columns) + i] += Math.Abs(group[i]) / largest;
            }
            rows += slot.OutFeatures;
        }
        return PerChannel(site, sums, rows);
    }

    // The mean over the columns that a channel has: several where heads share it.
    private static double[] PerChannel(FoldSite site, double[] sums, long count)
    {
        var means = new double[site.Channels];
        double columns = (double)sums.Length / site.Channels * count;
        for (int i = 0; i < sums.Length; i++) means[site.FactorOf(i)] += sums[i] / columns;
        return means;
    }
}
