using System.Text;
using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;

namespace LowRankQuant.Quantization.Texts;

/// <summary>What a text holds, as calibration would read it.</summary>
public sealed record TextFacts
{
    /// <summary>The files that are read, in order.</summary>
    public required IReadOnlyList<string> Files { get; init; }

    /// <summary>Bytes of them as they lie on disk.</summary>
    public required long Bytes { get; init; }

    /// <summary>What they hold.</summary>
    public required IReadOnlyList<TextFormat> Formats { get; init; }

    /// <summary>Columns of a table, or keys of the first object, with their types; those of the first file.</summary>
    public required IReadOnlyList<string> Fields { get; init; }

    /// <summary>Documents that were read.</summary>
    public required long Documents { get; init; }

    /// <summary>Whether reading ended before the text did.</summary>
    public required bool IsPart { get; init; }

    /// <summary>UTF-16 units of their text; 0 of token ids.</summary>
    public required long Characters { get; init; }

    /// <summary>Their tokens, without any between documents; null where no tokenizer is known.</summary>
    public required long? Tokens { get; init; }

    /// <summary>The beginning of the first document, as the model would see it; empty of token ids.</summary>
    public required string First { get; init; }

    /// <summary>What was read otherwise than it stands, or left out.</summary>
    public required IReadOnlyList<string> Warnings { get; init; }
}

/// <summary>Looks through a text without a run.</summary>
public static class TextSurvey
{
    /// <summary>Characters of <see cref="TextFacts.First"/>.</summary>
    public const int FirstCharacters = 600;

    /// <summary>Reads a text.</summary>
    /// <param name="text">The text.</param>
    /// <param name="options">How its files are read; its join and number of rows come from the text.</param>
    /// <param name="model">Counts tokens, and puts conversations into its chat format; null for neither.</param>
    /// <param name="most">The first so many documents alone; null for all.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <exception cref="TextSourceException">A file cannot be read as text.</exception>
    /// <exception cref="TokenizerException">The model's tokenizer cannot be read, or not encode the text.</exception>
    public static TextFacts Of(TextInput text, TextSourceOptions options, CausalModel? model, long? most, CancellationToken cancellation)
    {
        ITokenizer? tokenizer = model?.Checkpoint.FindTokenizer();
        DecoderConfig? config = model?.Config;
        TextSourceOptions reading = options with { Join = text.Join, MostRows = text.MostRows, KeepEmptyRows = text.Join == TextJoin.BlankLines };
        TextSource[] files = [.. text.Expand().Select(path => new TextSource(path, reading, () => model is null ? ChatText.Plain : tokenizer is null ? null : ChatText.Of(model.Checkpoint, tokenizer, config!, options.ChatArguments)))];
        long documents = 0, characters = 0, tokens = 0;
        bool isPart = false;
        var first = new StringBuilder();
        HashSet<string> separators = ["<|endoftext|>"];
        if (tokenizer?.EosId is { } eos && tokenizer.TokenText(eos) is { Length: > 0 } end) separators.Add(end);
        foreach (TextSource file in files)
        {
            if (isPart) break;
            foreach (TextDocument document in file.Documents(separators))
            {
                cancellation.ThrowIfCancellationRequested();
                if (documents == most)
                {
                    isPart = true;
                    break;
                }
                long before = characters;
                if (document.Ids is { } ids) tokens += ids.Length;
                else
                {
                    using var counted = new CountingReader(new DocumentReader(document), documents == 0 ? first : null);
                    if (tokenizer is null) counted.Drain(cancellation);
                    else tokens += new TokenStream(tokenizer, counted).Parts().Sum(part => (long)part.Length);
                    characters += counted.Characters;
                    // Between two separators there may be nothing.
                    if (characters == before) continue;
                }
                documents++;
            }
        }
        return new TextFacts
        {
            Files = [.. files.Select(file => file.Path)],
            Bytes = files.Sum(file => FileLength.Of(file.Path)),
            Formats = [.. files.Select(file => file.Format).Distinct()],
            Fields = files[0].Fields(),
            Documents = documents,
            IsPart = isPart,
            Characters = characters,
            Tokens = tokenizer is null && files.Any(file => file.Format != TextFormat.Ids) ? null : tokens,
            First = first.ToString(),
            Warnings = [.. files.SelectMany(file => file.Warnings)],
        };
    }

    /// <summary>Counts what is read, and keeps its beginning.</summary>
    private sealed class CountingReader(TextReader inner, StringBuilder? beginning) : TextReader
    {
        public long Characters { get; private set; }

        public void Drain(CancellationToken cancellation)
        {
            char[] buffer = new char[1 << 16];
            while (Read(buffer, 0, buffer.Length) > 0) cancellation.ThrowIfCancellationRequested();
        }

        public override int Read(char[] buffer, int index, int count) => Read(buffer.AsSpan(index, count));

        public override int Read(Span<char> buffer)
        {
            int read = inner.Read(buffer);
            Characters += read;
            if (beginning is not null && beginning.Length < FirstCharacters) beginning.Append(buffer[..Math.Min(read, FirstCharacters - beginning.Length)]);
            return read;
        }

        public override int Read()
        {
            Span<char> one = stackalloc char[1];
            return Read(one) == 0 ? -1 : one[0];
        }

        public override int Peek() => inner.Peek();
    }
}
