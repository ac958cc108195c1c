using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Quantization.Transforms;

/// <summary>Which calibration windows are looked at in front of a block, all of one length where some tokens alone are.</summary>
/// <param name="Count">The first so many; null for all.</param>
/// <param name="Masks">Which of their tokens, by window; null for all.</param>
internal readonly record struct LookedAt(int? Count, IReadOnlyList<bool[]>? Masks = null)
{
    /// <summary>Which of some tokens are looked at; null for all.</summary>
    /// <param name="first">The first of them, counted from that of the first window.</param>
    /// <param name="count">How many.</param>
    public bool[]? MaskOf(int first, int count)
    {
        if (Masks is not { } masks) return null;
        var mask = new bool[count];
        for (int i = 0; i < count; i++) mask[i] = masks[(first + i) / masks[0].Length][(first + i) % masks[0].Length];
        return mask;
    }
}

/// <summary>What the readers of fold sites get, and what is kept of their factors.</summary>
internal static class SiteInputs
{
    /// <summary>Shows the inputs of sites while calibration windows pass through the block as it is.</summary>
    /// <param name="block">The block; observers of its slots are taken off.</param>
    /// <param name="sites">Sites of the block.</param>
    /// <param name="inputs">Windows in front of the block.</param>
    /// <param name="windows">The first so many are looked at, and which of their tokens.</param>
    /// <param name="see">Given the number of a site and rows that its readers get, [rows, columns of its readers].</param>
    /// <param name="cancellation">Asks to stop.</param>
    /// <param name="passed">Told the number of every window that has passed; null where several may pass together.</param>
    /// <exception cref="TransformException">Some tokens alone are looked at, and experts, which see rows of their own, read a site.</exception>
    public static void Look(
        IDecoderBlock block, IReadOnlyList<FoldSite> sites, ActivationStream inputs, LookedAt windows, Action<int, Tensor> see, CancellationToken cancellation, Action<int>? passed = null)
    {
        HashSet<int> following = [.. block.DeclaredInputs.SelectMany(group => group.Slots.Skip(1))];
        var observed = new List<LinearSlot>();
        try
        {
            for (int i = 0; i < sites.Count; i++)
            {
                int site = i;
                // One linear stands for all that see the same rows; every expert sees rows of its own.
                int? first = sites[i].Readers.Where(reader => !block.Slots[reader].IsExpert).Select(reader => (int?)reader).FirstOrDefault();
                foreach (int reader in sites[i].Readers.Where(reader => reader == first || (block.Slots[reader].IsExpert && !following.Contains(reader))))
                {
                    if (block.Slots[reader].IsExpert && windows.Masks is not null)
                        throw new TransformException($"{block.Name}.{block.Slots[reader].Name}: routers send experts tokens that are not told apart.");
                    // Windows pass in their order, several of them together or not.
                    int tokens = 0;
                    block.Slots[reader].InputObserver = rows =>
                    {
                        MaskedRows.See(rows, windows.MaskOf(tokens, rows.Rows), chosen => see(site, chosen));
                        tokens += rows.Rows;
                    };
                    observed.Add(block.Slots[reader]);
                }
            }
            inputs.Look(block, 0, windows.Count ?? inputs.Windows, (window, _) => passed?.Invoke(window), cancellation, batch: passed is null ? null : 1);
        }
        finally
        {
            foreach (LinearSlot slot in observed) slot.InputObserver = null;
        }
    }

    /// <summary>The place of a site's factors among what is kept of a transform.</summary>
    public static string KeyOf(FoldSite site) => $"{site.Kind}.{site.Source}".ToLowerInvariant();

    /// <summary>Folds factors that were kept.</summary>
    /// <param name="block">The block, as it is stored.</param>
    /// <param name="sites">Sites of the block.</param>
    /// <param name="state">Factors by <see cref="KeyOf"/>.</param>
    /// <param name="what">What made them, for messages.</param>
    /// <exception cref="TransformException">Those of a site are not there.</exception>
    public static void Restore(IDecoderBlock block, IReadOnlyList<FoldSite> sites, IReadOnlyDictionary<string, float[]> state, string what)
    {
        foreach (FoldSite site in sites)
        {
            if (!state.TryGetValue(KeyOf(site), out float[]? factors) || factors.Length != site.Channels)
                throw new TransformException($"{block.Name}: what is kept of {what} has no {site.Channels} factors of {KeyOf(site)}.");
            site.Fold(factors);
        }
    }
}
