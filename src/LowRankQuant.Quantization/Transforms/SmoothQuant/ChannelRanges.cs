using System.Numerics;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Quantization.Transforms.SmoothQuant;

/// <summary>The smallest and largest values of every channel of an input over all calibration tokens, [columns of its readers]. Of an input that no token reached both are 0.</summary>
public sealed class ChannelRange
{
    private readonly float[] _low;
    private readonly float[] _high;
    private bool _seen;

    /// <summary>A range of no values yet.</summary>
    public ChannelRange(int columns) => (_low, _high) = (new float[columns], new float[columns]);

    /// <summary>Smallest values.</summary>
    public ReadOnlySpan<float> Low => _low;

    /// <summary>Largest values.</summary>
    public ReadOnlySpan<float> High => _high;

    /// <summary>Takes in rows of values, [rows, columns].</summary>
    public void Add(Tensor rows)
    {
        ReadOnlySpan<float> values = rows.IsOnHost ? rows.Span : rows.ToArray();
        int columns = _low.Length;
        for (int start = 0; start < values.Length; start += columns) AddRow(values.Slice(start, columns));
    }

    private void AddRow(ReadOnlySpan<float> row)
    {
        if (!_seen)
        {
            row.CopyTo(_low);
            row.CopyTo(_high);
            _seen = true;
            return;
        }
        int i = 0;
        for (; i <= row.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            var x = new Vector<float>(row[i..]);
            Vector.Min(new Vector<float>(_low, i), x).CopyTo(_low, i);
            Vector.Max(new Vector<float>(_high, i), x).CopyTo(_high, i);
        }
        for (; i < row.Length; i++)
        {
            _low[i] = Math.Min(_low[i], row[i]);
            _high[i] = Math.Max(_high[i], row[i]);
        }
    }

    /// <summary>The ranges of the inputs of sites, in one pass of calibration windows through the block as it is.</summary>
    /// <param name="block">The block; observers of its slots are taken off.</param>
    /// <param name="sites">Sites of the block.</param>
    /// <param name="inputs">Windows in front of the block.</param>
    /// <param name="windows">The first so many are looked at; null for all.</param>
    /// <param name="cancellation">Asks to stop.</param>
    /// <returns>One range a site.</returns>
    public static IReadOnlyList<ChannelRange> Collect(IDecoderBlock block, IReadOnlyList<FoldSite> sites, ActivationStream inputs, int? windows, CancellationToken cancellation) =>
        Collect(block, sites, inputs, new LookedAt(windows), cancellation);

    /// <summary>As the other, of some tokens of every window.</summary>
    internal static IReadOnlyList<ChannelRange> Collect(IDecoderBlock block, IReadOnlyList<FoldSite> sites, ActivationStream inputs, LookedAt windows, CancellationToken cancellation)
    {
        ChannelRange[] ranges = [.. sites.Select(site => new ChannelRange(site.Slots[0].InFeatures))];
        SiteInputs.Look(block, sites, inputs, windows, (site, rows) => ranges[site].Add(rows), cancellation);
        return ranges;
    }
}
