using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;

namespace LowRankQuant.Quantization.Methods.Layerwise;

/// <summary>
/// Inputs of the experts of a stage. Experts are calibrated by the tokens that reach them; one that fewer reach than a floor is fitted to the inputs of all experts of
/// the layer together, and named.
/// </summary>
/// <param name="block">The block.</param>
/// <param name="sites">The sites of the stage; one where there are no experts.</param>
/// <param name="floor">Fewest tokens of an expert.</param>
/// <param name="warnings">Receives the names.</param>
internal sealed class ExpertPool(IDecoderBlock block, IReadOnlyList<InputSite> sites, int floor, List<string> warnings)
{
    /// <summary>The most that statistics of experts take together where memory does not bound it.</summary>
    public const long MostBytes = BlockContext.MostStatisticsBytes;

    private StageInputs? _pool;

    /// <summary>The sites of a stage in parts whose statistics fit the memory together.</summary>
    /// <param name="sites">The sites.</param>
    /// <param name="slots">The slots of the block.</param>
    /// <param name="memory">Bytes for them; one site is taken at least.</param>
    public static IEnumerable<Range> Parts(IReadOnlyList<InputSite> sites, IReadOnlyList<LinearSlot> slots, long memory)
    {
        int most = (int)Math.Clamp(memory / Math.Max(1, BytesOf(slots[sites[0].First].InFeatures)), 1, sites.Count);
        for (int first = 0; first < sites.Count; first += most) yield return first..Math.Min(first + most, sites.Count);
    }

    /// <summary>Bytes of the statistics of a site, at most: second moments, and products with the other stream, of the run that goes on and of those that ended, in double precision.</summary>
    /// <param name="size">Its inputs.</param>
    public static long BytesOf(long size) => 4 * sizeof(double) * size * size;

    /// <summary>Puts the pool in the place of what has too few tokens.</summary>
    /// <param name="inputs">Of the sites of a part.</param>
    /// <param name="part">The part.</param>
    /// <param name="pool">Takes the statistics of all sites together.</param>
    public StageInputs[] Fill(StageInputs[] inputs, Range part, Func<StageInputs> pool)
    {
        if (sites.Count == 1) return inputs;
        int first = part.GetOffsetAndLength(sites.Count).Offset;
        for (int i = 0; i < inputs.Length; i++)
        {
            long tokens = inputs[i].Statistics.Tokens;
            if (tokens > 0 && tokens >= floor) continue;
            warnings.Add(
                $"{block.Name}.{block.Slots[sites[first + i].First].Name}: {tokens} calibration tokens reached the expert; it is fitted to the inputs of all experts of its layer. More calibration text helps.");
            inputs[i] = _pool ??= pool();
        }
        return inputs;
    }
}
