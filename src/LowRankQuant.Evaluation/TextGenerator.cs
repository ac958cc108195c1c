using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Generation;
using LowRankQuant.Models.Tokenizers;

namespace LowRankQuant.Evaluation;

/// <summary>Writes a short sample with a model, for reports.</summary>
public static class TextGenerator
{
    /// <summary>Whether a model's weights as 32-bit floats leave a quarter of the memory free, as writing with it holds them all.</summary>
    /// <param name="model">The model.</param>
    /// <param name="memoryBytes">The memory; null for what the process may use.</param>
    public static bool Fits(CausalModel model, long? memoryBytes) =>
        ModelRunner.WeightBytes(model) <= (memoryBytes ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes) / 4 * 3;

    /// <summary>Continues <paramref name="prompt"/> up to the end-of-text token or <paramref name="tokens"/> tokens.</summary>
    /// <param name="model">The model; its weights must fit memory as 32-bit floats.</param>
    /// <param name="tokenizer">Its tokenizer.</param>
    /// <param name="prompt">The beginning; may be empty when the tokenizer or the configuration names a token to begin with.</param>
    /// <param name="tokens">Most tokens to add; cut to the model's positions.</param>
    /// <param name="options">How tokens are chosen; null for the most probable ones.</param>
    /// <param name="loadBlock">Gives block i in place of <see cref="CausalModel.LoadBlock"/>, such as one with other weights.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <returns>Prompt and continuation as the tokenizer decodes them, without special tokens.</returns>
    /// <exception cref="EvaluationException">The prompt is longer than the model's positions, or empty without a token to begin with.</exception>
    public static string Generate(
        CausalModel model,
        ITokenizer tokenizer,
        string prompt,
        int tokens,
        SamplingOptions? options = null,
        Func<int, IDecoderBlock>? loadBlock = null,
        CancellationToken cancellation = default)
    {
        DecoderConfig config = model.Config;
        int[] ids = tokenizer.Encode(prompt, addSpecialTokens: true);
        if (ids.Length == 0)
        {
            int? first = tokenizer.BosId ?? config.BosId ?? tokenizer.EosId ?? (config.EosIds is [int eos, ..] ? eos : null);
            ids = [first ?? throw new EvaluationException("The prompt is empty and the model names no token to begin with; give a prompt.")];
        }
        if (ids.Length >= config.MaxPositions)
            throw new EvaluationException($"The prompt has {ids.Length} tokens and the model {config.MaxPositions} positions; shorten it.");
        options ??= new SamplingOptions { Temperature = 0 };
        int[] own = tokenizer.EosId is { } end ? [end] : [];
        if (options.StopIds.Count == 0) options = options with { StopIds = [.. config.EosIds, .. own] };
        using var sampler = new TokenSampler(model, loadBlock);
        int[] added = sampler.Sample([ids], Math.Min(tokens, config.MaxPositions - ids.Length), options, cancellation)[0];
        return tokenizer.Decode([.. ids, .. added], skipSpecialTokens: true);
    }
}
