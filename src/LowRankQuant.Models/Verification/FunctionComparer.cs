using System.Globalization;
using LowRankQuant.Formats;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.ChatTemplates.Values;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.HuggingFace;

namespace LowRankQuant.Models.Verification;

/// <summary>
/// Compares what decides a model's function beside its tensors: sizes and choices of the configuration, the angles of the rotary embedding, begin and end
/// tokens, what the tokenizers do with texts, and the chat templates with what they make of a conversation.
/// </summary>
/// <param name="run">What the container was made from.</param>
/// <param name="container">The container.</param>
internal sealed class FunctionComparer(ICheckpoint run, ICheckpoint container)
{
    // Bases and tables of frequencies are 32-bit floats in GGUF.
    private const double AngleTolerance = 1e-6;

    private static readonly ChatMessage[] Conversation =
        [new("user", "What is 2 + 2?"), new("assistant", "4."), new("user", "Thank you,\n  dear model.")];

    private readonly List<Difference> _differences = [];

    /// <summary>Texts whose tokens were compared.</summary>
    public int Texts { get; private set; }

    /// <summary>Chat templates that were compared.</summary>
    public int Templates { get; private set; }

    /// <summary>What could not be compared.</summary>
    public List<string> Notes { get; } = [];

    /// <summary>Compares everything.</summary>
    public IReadOnlyList<Difference> Compare()
    {
        CompareConfigs(run.Config, container.Config);
        CompareAngles(run.Config, container.Config);
        (ITokenizer? expected, ITokenizer? actual) = (Tokenizer(run, isContainer: false), Tokenizer(container, isContainer: true));
        CompareEnds(expected, actual);
        if (expected is not null && actual is not null)
        {
            var comparer = new TokenizerComparer(expected, actual);
            _differences.AddRange(comparer.Compare());
            Texts = comparer.Texts;
        }
        CompareTemplates(expected, actual);
        return _differences;
    }

    private void CompareConfigs(DecoderConfig wanted, DecoderConfig found)
    {
        foreach ((string key, object? expected, object? actual) in new (string, object?, object?)[]
        {
            ("model_type", Type(run), Type(container)),
            ("hidden_size", wanted.HiddenSize, found.HiddenSize),
            ("num_hidden_layers", wanted.Layers, found.Layers),
            ("num_attention_heads", wanted.Heads, found.Heads),
            ("num_key_value_heads", wanted.KeyValueHeads, found.KeyValueHeads),
            ("head_dim", wanted.HeadSize, found.HeadSize),
            ("intermediate_size", wanted.IntermediateSize, found.IntermediateSize),
            ("vocab_size", wanted.VocabularySize, found.VocabularySize),
            ("rms_norm_eps", wanted.NormEpsilon, found.NormEpsilon),
            ("hidden_act", wanted.Activation, found.Activation),
            ("attention scale", wanted.AttentionScale, found.AttentionScale),
            ("sliding_window", SameWithin(wanted, found) ? found.SlidingWindow : wanted.SlidingWindow, found.SlidingWindow),
        })
        {
            if (!Equals(expected, actual)) Add(key, $"is {Text(actual)}, the run has {Text(expected)}");
        }
    }

    // Where llama.cpp has no windows in an architecture, a file's context is no longer than the model's.
    private bool SameWithin(DecoderConfig wanted, DecoderConfig found)
    {
        if (container is not GgufCheckpoint || found.SlidingWindow > 0 || wanted.SlidingWindow < found.MaxPositions) return false;
        Notes.Add($"sliding_window: the file has none, and a context of {found.MaxPositions}, within which it is the same");
        return true;
    }

    // Mistral without its window is the same as Llama in a GGUF file.
    private string Type(ICheckpoint checkpoint) =>
        (run is GgufCheckpoint || container is GgufCheckpoint ? checkpoint.Architecture.Gguf?.Name : null) ?? checkpoint.Config.ModelType;

    private void CompareAngles(DecoderConfig wanted, DecoderConfig found)
    {
        RopeConfig expected = wanted.Rope, actual = found.Rope;
        if ((expected.RotatedSize, expected.Interleaved) != (actual.RotatedSize, actual.Interleaved))
        {
            Add("rotary embedding", $"rotates {actual.RotatedSize} elements of a head{Pairs(actual)}, the run {expected.RotatedSize}{Pairs(expected)}");
            return;
        }
        double factor = RopeFrequencies.AttentionFactor(expected), stored = RopeFrequencies.AttentionFactor(actual);
        if (Math.Abs(stored - factor) > AngleTolerance * factor) Add("rotary attention factor", $"is {Text(stored)}, the run has {Text(factor)}");
        // Beyond the positions of the training too, where dynamic scaling begins.
        foreach (int length in new[] { 1, Math.Max(wanted.MaxPositions, found.MaxPositions), 2 * Math.Max(wanted.MaxPositions, found.MaxPositions) })
        {
            double[] due = RopeFrequencies.Compute(expected, length), have = RopeFrequencies.Compute(actual, length);
            int at = Enumerable.Range(0, due.Length).FirstOrDefault(j => !(Math.Abs(have[j] - due[j]) <= AngleTolerance * due[j]), -1);
            if (at < 0) continue;
            Add("rotary frequencies", $"number {at} for {length} positions is {Text(have[at])}, the run has {Text(due[at])}");
            return;
        }
    }

    private void CompareEnds(ITokenizer? expected, ITokenizer? actual)
    {
        // The configuration and the tokenizer may each name one, and containers keep one place for it.
        int?[] begins = [run.Config.BosId, expected?.BosId], ends = [.. run.Config.EosIds, expected?.EosId];
        int? begin = container.Config.BosId ?? actual?.BosId;
        if (begins.Any(id => id is not null) && !begins.Contains(begin)) Add("bos_token_id", $"is {Text(begin)}, the run has {Text(begins.First(id => id is not null))}");
        int?[] stored = [.. container.Config.EosIds, .. container.Config.EosIds.Count == 0 ? new[] { actual?.EosId } : []];
        int?[] known = [.. ends.Where(id => id is not null)];
        if (known.Length > 0 && (stored.All(id => id is null) || stored.Any(id => id is not null && !known.Contains(id))))
            Add("eos_token_id", $"is {string.Join(", ", stored.Select(id => Text(id)))}, the run has {string.Join(", ", known.Distinct().Select(id => Text(id)))}");
        int[] left = [.. run.Config.EosIds.Where(id => !stored.Contains(id))];
        if (left.Length > 0 && container is GgufCheckpoint) Notes.Add($"eos_token_id: a GGUF file holds one; of the run's {string.Join(", ", left)} is left out");
        else if (left.Length > 0) Add("eos_token_id", $"lacks {string.Join(", ", left)} of the run");
    }

    private ITokenizer? Tokenizer(ICheckpoint checkpoint, bool isContainer)
    {
        if (!HasTokenizer(checkpoint))
        {
            Notes.Add($"{checkpoint.Location} has no tokenizer; what becomes of texts is not compared");
            return null;
        }
        try
        {
            return checkpoint.LoadTokenizer();
        }
        catch (Exception bad) when (bad is TokenizerException or CheckpointException)
        {
            if (isContainer) Add("tokenizer", $"cannot be read: {bad.Message}");
            else Notes.Add($"the run's tokenizer cannot be read, and what becomes of texts is not compared: {bad.Message}");
            return null;
        }
    }

    private static bool HasTokenizer(ICheckpoint checkpoint) => checkpoint is GgufCheckpoint file
        ? file.File.Metadata.FindString("tokenizer.ggml.model") is not (null or "none")
        : TokenizerLoader.IsIn(checkpoint.Location);

    private void CompareTemplates(ITokenizer? expected, ITokenizer? actual)
    {
        IReadOnlyDictionary<string, string> wanted = run.ReadChatTemplates(), found = container.ReadChatTemplates();
        foreach (string name in wanted.Keys.Union(found.Keys).Order(StringComparer.Ordinal))
        {
            Templates++;
            string item = $"chat template '{name}'";
            if (!found.TryGetValue(name, out string? text)) Add(item, "is absent, and the run has one");
            else if (!wanted.TryGetValue(name, out string? due)) Add(item, "is there, and the run has none");
            else if (text != due) Add(item, $"differs from the run's at character {text.AsSpan().CommonPrefixLength(due)}");
            else if (expected is not null && actual is not null && Rendered(due, expected) is { } before && Rendered(text, actual) is var after && after != before)
                Add(item, $"gives {TokenizerException.Quote(after ?? "nothing")} for a conversation, with the run {TokenizerException.Quote(before)}");
        }
    }

    private static string? Rendered(string template, ITokenizer tokenizer)
    {
        try
        {
            return ChatTemplate.Parse(template).Render(Conversation, Token(tokenizer, tokenizer.BosId), Token(tokenizer, tokenizer.EosId), addGenerationPrompt: true);
        }
        catch (ChatTemplateException)
        {
            // A template for tools or of a kind that is not known: its text is the same, which was compared.
            return null;
        }
    }

    private static string Token(ITokenizer tokenizer, int? id) => id is { } known ? tokenizer.TokenText(known) ?? "" : "";

    private void Add(string item, string detail) => _differences.Add(new Difference(item, detail));

    private static string Pairs(RopeConfig rope) => rope.Interleaved ? " in neighbouring pairs" : "";

    private static string Text(object? value) => value is null ? "none" : Convert.ToString(value, CultureInfo.InvariantCulture)!;
}
