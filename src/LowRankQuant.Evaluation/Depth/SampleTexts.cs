using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Generation;
using LowRankQuant.Models.Tokenizers;

namespace LowRankQuant.Evaluation.Depth;

/// <summary>Beginnings of windows, continued by a model and by its reference, each by its most probable tokens.</summary>
internal static class SampleTexts
{
    /// <summary>Writes them, the reference's first; one model is in memory at a time.</summary>
    /// <param name="model">The model; its weights must fit memory as 32-bit floats.</param>
    /// <param name="blocks">Its blocks where they are not its own; null for its own.</param>
    /// <param name="reference">The reference.</param>
    /// <param name="tokenizer">Spells tokens and names one that ends a text; null for none.</param>
    /// <param name="windows">Windows; the first <see cref="DepthOptions.Samples"/> are begun with.</param>
    /// <param name="progress">Told the tokens that every beginning has got, of both models together, and all of them; null for nobody.</param>
    /// <param name="cancellation">Ends the work.</param>
    public static IReadOnlyList<SampleText> Of(
        CausalModel model, Func<int, IDecoderBlock>? blocks, CausalModel reference, ITokenizer? tokenizer, IReadOnlyList<DepthWindow> windows, Action<int, int>? progress,
        CancellationToken cancellation)
    {
        int positions = Math.Min(model.Config.MaxPositions, reference.Config.MaxPositions);
        int[][] prompts = [.. windows.Take(DepthOptions.Samples).Select(window => Beginning(window.Ids, positions))];
        int[] stops = [.. model.Config.EosIds, .. tokenizer?.EosId is { } end ? [end] : Array.Empty<int>()];
        int groups = prompts.Select(prompt => prompt.Length).Distinct().Count(), all = 2 * groups * DepthOptions.SampleTokens, done = 0;
        int[][] expected = Continue(reference, null), found = Continue(model, blocks);
        var words = new TokenWords(tokenizer);
        return [.. prompts.Select((prompt, i) => Pair(prompt, expected[i], found[i], words))];

        int[][] Continue(CausalModel of, Func<int, IDecoderBlock>? load)
        {
            var added = new int[prompts.Length][];
            using (var sampler = new TokenSampler(of, load))
            {
                // Prompts of one length go together.
                foreach (IGrouping<int, int> group in Enumerable.Range(0, prompts.Length).GroupBy(i => prompts[i].Length))
                {
                    int[] numbers = [.. group];
                    int before = done;
                    sampler.Progress = tokens => progress?.Invoke(before + tokens, all);
                    int[][] texts = sampler.Sample(
                        [.. numbers.Select(i => prompts[i])], Math.Min(DepthOptions.SampleTokens, positions - group.Key), new SamplingOptions { Temperature = 0, StopIds = stops }, cancellation);
                    for (int i = 0; i < numbers.Length; i++) added[numbers[i]] = texts[i];
                    done = before + DepthOptions.SampleTokens;
                }
            }
            of.Device.Trim();
            return added;
        }
    }

    /// <summary>Both texts beside each other.</summary>
    internal static SampleText Pair(int[] prompt, int[] expected, int[] found, TokenWords words)
    {
        int shared = 0;
        while (shared < expected.Length && shared < found.Length && expected[shared] == found[shared]) shared++;
        return new SampleText(words.Of(prompt), words.After(prompt, expected), words.After(prompt, found), shared, found.Length, Loop(expected), Loop(found));

        string? Loop(int[] tokens) => RepetitionLoop.PeriodOf(tokens) is > 0 and var period ? words.After([.. prompt, .. tokens[..^period]], tokens[^period..]) : null;
    }

    // At least one token to begin with, and one position to go on.
    private static int[] Beginning(int[] ids, int positions) => ids[..Math.Max(1, Math.Min(Math.Min(DepthOptions.PromptTokens, ids.Length / 2), positions / 2))];
}
