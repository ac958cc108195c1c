using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.Gguf;
using LowRankQuant.Models.Tokenizers.Pipeline;
using LowRankQuant.Models.Tokenizers.SentencePiece;

namespace LowRankQuant.Models.Export.Gguf;

/// <summary>The vocabulary of a file, and what it cannot hold of the source's tokenizer, decided before anything is written.</summary>
internal sealed record GgufTokenizerPlan
{
    private const string Option = "`lossy_vocabulary`";

    /// <summary>The vocabulary; null for a file without one, or where there are problems, or where the source's own keys are passed on.</summary>
    public GgufVocabulary? Vocabulary { get; private init; }

    /// <summary>Why it cannot be written as asked, a sentence each.</summary>
    public IReadOnlyList<string> Problems { get; private init; } = [];

    /// <summary>What the user should know before it is written, a sentence each.</summary>
    public IReadOnlyList<string> Warnings { get; private init; } = [];

    /// <summary>Those of them that a user of the file should know.</summary>
    public IReadOnlyList<string> Notes { get; private init; } = [];

    /// <summary>Looks at a source.</summary>
    /// <exception cref="TokenizerException">The tokenizer is absent, damaged, or of a kind that has no GGUF form at all.</exception>
    public static GgufTokenizerPlan For(ICheckpoint source, GgufExportOptions options)
    {
        if (source is GgufCheckpoint || options.WithoutTokenizer) return new GgufTokenizerPlan();
        ITokenizer tokenizer = source.LoadTokenizer();
        int rows = source.Config.VocabularySize;
        IReadOnlyList<VocabularyLoss> losses = GgufVocabularyExport.FindLosses(tokenizer);
        List<string> problems = [.. losses.Where(loss => !loss.IsMinor && !options.LossyVocabulary)
            .Select(loss => $"{loss.Description}; give {Option} to leave it out, or export to another format.")];
        (int Id, string Text)[] beyond = [.. Enumerable.Range(rows, Math.Max(0, tokenizer.VocabularySize - rows))
            .Where(id => tokenizer.TokenText(id) is not null).Select(id => (id, tokenizer.TokenText(id)!))];
        if (beyond.Length > 0 && !AreAllAdded(tokenizer, beyond))
            problems.Add($"tokenizer: {beyond[0].Text} has the id {beyond[0].Id}, and the embedding has {rows} rows: the tokenizer belongs to another model.");
        if (problems.Count > 0) return new GgufTokenizerPlan { Problems = problems };

        List<string> warnings = [.. tokenizer.Warnings, .. losses.Select(loss => $"{loss.Description}; left out.")];
        if (beyond.Length > 0)
        {
            string others = beyond.Length > 1 ? $" and {beyond.Length - 1} more" : "";
            warnings.Add($"tokenizer: '{beyond[0].Text}'{others} with ids from {beyond[0].Id} on left out: the embedding has {rows} rows, so the model cannot read them anyway.");
        }
        GgufVocabulary vocabulary = GgufVocabularyExport.FromTokenizer(tokenizer, rows, isLossy: options.LossyVocabulary || beyond.Length > 0);
        string[] notes = [.. losses.Where(loss => !loss.IsMinor).Select(loss => $"{loss.Description}; left out."), .. GgufVocabularyMetadata.Notes(vocabulary)];
        return new GgufTokenizerPlan { Vocabulary = vocabulary, Warnings = [.. warnings.Union(notes)], Notes = notes };
    }

    private static bool AreAllAdded(ITokenizer tokenizer, (int Id, string Text)[] tokens) => Array.TrueForAll(
        tokens, token => (tokenizer as PipelineTokenizer)?.Parts.Added.TryGet(token.Id, out _) ?? (tokenizer as SpmTokenizer)?.Added.TryGet(token.Id, out _) ?? false);
}
