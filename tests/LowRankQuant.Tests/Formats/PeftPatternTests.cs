using System.Diagnostics;
using System.Text.RegularExpressions;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Peft;

namespace LowRankQuant.Tests.Formats;

/// <summary>Keys of an adapter's patterns against the expression that defines them.</summary>
public sealed class PeftPatternTests
{
    [Fact]
    public void KeysMatchAsTheirExpressionDoes()
    {
        var random = new Random(5);
        string[] parts = ["q_proj", "v_proj", "self_attn", "layers", "0", "1", "model", "xq_proj", ".", "q.proj", "[qv]_proj", ".*", "q_proj|v_proj", "\\d+"];
        int matches = 0;
        for (int trial = 0; trial < 4000; trial++)
        {
            string key = Name(parts.Length), module = Name(8);
            bool expected = Regex.IsMatch(module, $@"^(.*\.)?({key})$", RegexOptions.CultureInvariant);
            if (expected) matches++;
            Assert.True(expected == new PeftPattern("adapter_config.json", "rank_pattern", key).Matches(module), $"'{key}' on '{module}': {expected} expected");
        }
        Assert.InRange(matches, 100, 3900);

        string Name(int kinds) => string.Join('.', Enumerable.Range(0, 1 + random.Next(3)).Select(_ => parts[random.Next(kinds)]));
    }

    [Fact]
    public void HundredsOfPlainKeysTakeNoTime()
    {
        string[] modules = [.. Enumerable.Range(0, 1000).Select(i => $"model.layers.{i}.self_attn.q_proj")];
        long start = Stopwatch.GetTimestamp();
        PeftPattern[] patterns = [.. modules.Select(name => new PeftPattern("adapter_config.json", "rank_pattern", name))];
        foreach (string module in modules) Assert.Equal(1, patterns.Count(pattern => pattern.Matches(module)));
        Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(20), "a million comparisons of names should take milliseconds");
    }

    [Fact]
    public void WhatIsNoExpressionIsRefused() =>
        Assert.Throws<CheckpointFormatException>(() => new PeftPattern("adapter_config.json", "rank_pattern", "(unclosed"));
}
