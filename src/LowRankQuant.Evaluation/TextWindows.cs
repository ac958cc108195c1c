using LowRankQuant.Models.Decoder;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Evaluation;

/// <summary>Cuts token ids into windows, or reads windows from a file; a window is made when it is asked for.</summary>
public static class TextWindows
{
    /// <summary>The context of llama.cpp's perplexity when none is asked for.</summary>
    public const int LlamaCppContext = 512;

    private const int LongestLine = 1 << 26;

    /// <summary>All windows of a text that is in memory, see <see cref="Cut(IEnumerable{int[]}, TextWindowOptions, DecoderConfig)"/>.</summary>
    /// <param name="ids">The whole text.</param>
    /// <param name="options">Sizes.</param>
    /// <param name="config">The model's vocabulary and positions.</param>
    /// <exception cref="EvaluationException">A size is out of range, an id is beyond the vocabulary, or the text does not fill a window.</exception>
    public static IReadOnlyList<TextWindow> Cut(ReadOnlySpan<int> ids, TextWindowOptions options, DecoderConfig config) =>
        [.. Cut([ids.ToArray()], options, config)];

    /// <summary>
    /// Windows at 0, stride, 2 stride, ... With a stride below the context, windows go on until one reaches the end of the text, and of each only
    /// the tokens behind the end of the one before count. Of the text no more is read than the windows that are asked for need.
    /// </summary>
    /// <param name="parts">The text, in parts of any length.</param>
    /// <param name="options">Sizes.</param>
    /// <param name="config">The model's vocabulary and positions.</param>
    /// <returns>
    /// At least one window. Throws <see cref="EvaluationException"/> as it is enumerated where an id is beyond the vocabulary, or the text does not fill a
    /// window.
    /// </returns>
    /// <exception cref="EvaluationException">A size is out of range.</exception>
    public static IEnumerable<TextWindow> Cut(IEnumerable<int[]> parts, TextWindowOptions options, DecoderConfig config)
    {
        int context = options.Context ?? Math.Min(TextWindowOptions.UsualContext, config.MaxPositions), stride = options.Stride ?? context;
        if (context < 2 || context > config.MaxPositions)
            throw new EvaluationException($"context = {context}: the model takes windows of 2 to {config.MaxPositions} tokens.");
        if (stride < 1 || stride > context)
            throw new EvaluationException($"stride = {stride}: must be from 1 to the context, {context}; a larger one would skip text.");
        if (options.Windows is < 1) throw new EvaluationException($"windows = {options.Windows}: at least 1 is needed.");
        return Cut(parts, context, stride, options, config);
    }

    /// <summary>
    /// llama.cpp's windows: side by side, whole ones only, each begun with the begin-of-text token where there is one, the first half context only
    /// (of 512 tokens, 257 to 511 are scored).
    /// </summary>
    /// <param name="parts">The text in parts of any length, the begin-of-text token in front included.</param>
    /// <param name="bos">That token, which replaces the first of every window; null where the model takes none.</param>
    /// <param name="options">Context, <see cref="LlamaCppContext"/> when null, and number of windows.</param>
    /// <param name="config">The model's vocabulary and positions.</param>
    /// <returns>At least one window; throws as <see cref="Cut(IEnumerable{int[]}, TextWindowOptions, DecoderConfig)"/> does.</returns>
    /// <exception cref="EvaluationException">The context is out of range.</exception>
    public static IEnumerable<TextWindow> CutLlamaCpp(IEnumerable<int[]> parts, int? bos, TextWindowOptions options, DecoderConfig config)
    {
        int context = options.Context ?? Math.Min(LlamaCppContext, config.MaxPositions);
        if (context < 4 || context > config.MaxPositions)
            throw new EvaluationException($"context = {context}: the model takes windows of 4 to {config.MaxPositions} tokens.");
        return Cut(parts, options with { Context = context, Stride = null, KeepPartial = false }, config).Select(window =>
        {
            if (bos is { } first) window.Ids[0] = first;
            return new TextWindow(window.Ids, (context / 2) + 1);
        });
    }

    /// <summary>Reads a file with one JSON array of token ids a line, plain or packed by gzip; each line is a window.</summary>
    /// <param name="path">The file.</param>
    /// <param name="config">The model's vocabulary and positions.</param>
    /// <param name="windows">Lines to take; null for all.</param>
    /// <returns>
    /// At least one window. Throws <see cref="EvaluationException"/> as it is enumerated where a line is longer than the model's positions or holds an id
    /// beyond its vocabulary.
    /// </returns>
    /// <exception cref="TextSourceException">There is no such file; as it is enumerated: it is no sound JSON, or a line holds no ids.</exception>
    public static IEnumerable<TextWindow> ReadIds(string path, DecoderConfig config, int? windows = null)
    {
        SourceReader.CheckExists(path);
        return ReadLines(path, config, windows ?? int.MaxValue);
    }

    private static IEnumerable<TextWindow> Cut(IEnumerable<int[]> parts, int context, int stride, TextWindowOptions options, DecoderConfig config)
    {
        int most = options.Windows ?? int.MaxValue, made = 0;
        // The next window starts at this place of what is held; what counts of it begins so many tokens behind its start.
        var held = new List<int>();
        int start = 0, counted = 0;
        long read = 0;
        using IEnumerator<int[]> source = parts.GetEnumerator();
        while (made < most)
        {
            while (held.Count - start < context && source.MoveNext())
            {
                CheckIds(source.Current, config, "The text", read);
                held.RemoveRange(0, start);
                start = 0;
                held.AddRange(source.Current);
                read += source.Current.Length;
            }
            int left = held.Count - start, length = Math.Min(context, left);
            if (counted >= left || (length < context && !options.KeepPartial)) break;
            var window = new TextWindow([.. held.GetRange(start, length)], counted);
            if (window.ScoredTokens > 0)
            {
                made++;
                yield return window;
            }
            int step = Math.Min(stride, left);
            start += step;
            counted = length - step;
        }
        if (made > 0) yield break;
        int least = options.KeepPartial ? 2 : context;
        throw new EvaluationException($"The text has {read} tokens; one window needs at least {least}. Give more text or less context.");
    }

    private static IEnumerable<TextWindow> ReadLines(string path, DecoderConfig config, int windows)
    {
        int made = 0;
        using var reader = new SourceReader(path);
        var rows = new RowReader(path, new TextSourceOptions { FormatOption = "`text_format`" }, () => null, new TextNotes(path));
        foreach (JsonPiece piece in new JsonValues(reader, path, LongestLine).Read())
        {
            if (made == windows) break;
            int[] ids = rows.TokenIds(piece).Ids!;
            string where = $"'{path}', line {piece.Line}";
            if (ids.Length < 2 || ids.Length > config.MaxPositions)
                throw new EvaluationException($"{where} has {ids.Length} ids; the model takes 2 to {config.MaxPositions} of them.");
            CheckIds(ids, config, where, 0);
            made++;
            yield return new TextWindow(ids);
        }
        if (made == 0) throw new EvaluationException($"'{path}' holds no windows.");
    }

    private static void CheckIds(ReadOnlySpan<int> ids, DecoderConfig config, string where, long first)
    {
        for (int i = 0; i < ids.Length; i++)
        {
            if ((uint)ids[i] >= (uint)config.VocabularySize)
            {
                throw new EvaluationException(
                    $"{where}: token id {ids[i]} (number {first + i}) is beyond the model's vocabulary of {config.VocabularySize}. " +
                    "The ids or the tokenizer belong to another model.");
            }
        }
    }
}
