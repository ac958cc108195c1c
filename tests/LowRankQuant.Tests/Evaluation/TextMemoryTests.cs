using LowRankQuant.Evaluation;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Tests.Quantization.Calibration;

namespace LowRankQuant.Tests.Evaluation;

/// <summary>Tests that measure the memory of the whole process: they run after all others, one at a time.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class ProcessMemory
{
    /// <summary>Name of the collection.</summary>
    public const string Name = "memory of the process";
}

/// <summary>Long texts in bounded memory.</summary>
[Collection(ProcessMemory.Name)]
public sealed class TextMemoryTests
{
    [Fact]
    public void MemoryDoesNotGrowWithTheText()
    {
        const int Characters = 60_000_000;
        DecoderConfig config = CalibrationLoaderTests.Config() with { MaxPositions = 64, VocabularySize = 4096 };
        using var text = new RepeatedText("the quick brown fox ", Characters);
        long first = 0, most = 0, tokens = 0;
        int windows = 0;
        foreach (TextWindow window in TextWindows.Cut(new TokenStream(new CharacterTokenizer(), text).Parts(), new TextWindowOptions(), config))
        {
            tokens += window.Ids.Length;
            if (++windows % 100_000 != 0) continue;
            long now = GC.GetTotalMemory(forceFullCollection: true);
            if (first == 0) first = now;
            most = Math.Max(most, now - first);
        }
        Assert.Equal(Characters, tokens);
        Assert.True(first > 0, "memory was never looked at");
        // From the first look to the last the text would have grown by 107 MB, its ids by 214 MB.
        Assert.InRange(most, 0, 8 << 20);
    }

    /// <summary>A phrase again and again, made as it is read.</summary>
    private sealed class RepeatedText(string phrase, int length) : TextReader
    {
        private int _at;

        public override int Read(char[] buffer, int index, int count)
        {
            count = Math.Min(count, length - _at);
            for (int i = 0; i < count; i++) buffer[index + i] = phrase[(_at + i) % phrase.Length];
            _at += count;
            return count;
        }
    }
}
