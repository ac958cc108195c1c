using System.Diagnostics;
using System.Text.Json.Nodes;
using LowRankQuant.Evaluation;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Tokenizers;

namespace LowRankQuant.Benchmarks;

/// <summary>
/// Reading, tokenizing and cutting of a long text as perplexity does it, without the model: speed and the most memory the process had. The text is a file
/// read again and again. In parts, or for comparison whole.
/// </summary>
internal static class StreamBenchmark
{
    public static int Run(Options options)
    {
        long characters = 1_000_000L * options.Number("millions", 100);
        using ICheckpoint checkpoint = CheckpointOpener.Open(options.Text("model") ?? throw new ArgumentException("--model is missing."));
        ITokenizer tokenizer = checkpoint.LoadTokenizer();
        string phrase = File.ReadAllText(options.Text("text") ?? throw new ArgumentException("--text is missing."));
        using var text = new RepeatedText(phrase, characters);
        long start = Stopwatch.GetTimestamp(), tokens = 0, checksum = 0;
        var stream = new TokenStream(tokenizer, text, options.Number("part", TokenStream.UsualPart));
        IEnumerable<int[]> parts = options.Number("whole", 0) == 0 ? stream.Parts() : [tokenizer.Encode(text.ReadToEnd(), addSpecialTokens: false)];
        int windows = 0;
        foreach (TextWindow window in TextWindows.Cut(parts, new TextWindowOptions(), checkpoint.Config))
        {
            windows++;
            tokens += window.Ids.Length;
            foreach (int id in window.Ids) checksum = (checksum * 31) + id;
        }
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        using Process process = Process.GetCurrentProcess();
        Console.WriteLine(new JsonObject
        {
            ["characters"] = characters,
            ["tokens"] = tokens,
            ["windows"] = windows,
            ["checksum"] = checksum.ToString("X16", System.Globalization.CultureInfo.InvariantCulture),
            ["longestPart"] = stream.LongestSoFar,
            ["charactersPerSecond"] = Math.Round(characters / seconds),
            ["peakMemoryMiB"] = process.PeakWorkingSet64 >> 20,
        }.ToJsonString());
        return 0;
    }

    private sealed class RepeatedText(string phrase, long length) : TextReader
    {
        private long _at;

        public override int Read(char[] buffer, int index, int count)
        {
            int place = (int)(_at % phrase.Length);
            count = (int)Math.Min(Math.Min(count, length - _at), phrase.Length - place);
            phrase.CopyTo(place, buffer, index, count);
            _at += count;
            return count;
        }
    }
}
