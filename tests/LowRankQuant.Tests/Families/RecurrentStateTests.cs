using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Tests.Families;

/// <summary>States of recurrent mixers along a tree of tokens: what a row sees is what stands before it on its own branch.</summary>
public sealed class RecurrentStateTests : IDisposable
{
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });

    // Of every row, its branch: the rows it comes after.
    private readonly List<string> _seen = [];

    public void Dispose() => _device.Dispose();

    [Fact]
    public void BranchesContinueWhereTheyLeaveOthers()
    {
        using var state = State();
        // abcde, then from behind abc: xy, then from behind abcx: z, then from behind ab: pq, and once more from the start: r.
        Pass(state, "abcdexyzpqr", (0, 5, 0), (5, 2, 3), (7, 1, 4), (8, 2, 2), (10, 1, 0));
        Assert.Equal(["a", "ab", "abc", "abcd", "abcde", "abcx", "abcxy", "abcxz", "abp", "abpq", "r"], _seen);
    }

    [Fact]
    public void PassesGoOnBehindTheLastOne()
    {
        using var state = State();
        Pass(state, "ab", (0, 2, 0));
        Pass(state, "c", (0, 1, 2));
        Pass(state, "de", (0, 2, 3));
        Assert.Equal(["a", "ab", "abc", "abcd", "abcde"], _seen);
    }

    [Fact]
    public void PassesBehindAPrefixBeginThereAgain()
    {
        using RecurrentState first = State(), second = State();
        Pass(first, "abc", (0, 3, 0));
        second.CopyFrom(first, 3);
        _seen.Clear();
        // Two trees in one pass, and a pass more; in both lanes.
        foreach (RecurrentState lane in new[] { first, second })
        {
            Pass(lane, "xyz", (0, 2, 3), (2, 1, 3));
            Pass(lane, "pq", (0, 1, 3), (1, 1, 4));
        }
        string[] expected = ["abcx", "abcxy", "abcz", "abcp", "abcpq"];
        Assert.Equal([.. expected, .. expected], _seen);
        // Another prefix.
        Pass(first, "mn", (0, 2, 0));
        second.CopyFrom(first, 2);
        Pass(second, "o", (0, 1, 2));
        Assert.Equal(["m", "mn", "mno"], _seen.TakeLast(3));
        second.CopyFrom(first, 0);
        Pass(second, "k", (0, 1, 0));
        Assert.Equal("k", _seen[^1]);
    }

    [Fact]
    public void APositionThatIsNotKeptIsNamed()
    {
        using var state = State();
        Pass(state, "abc", (0, 3, 0));
        Assert.Contains("position 2", Assert.Throws<InvalidOperationException>(() => Pass(state, "x", (0, 1, 2))).Message, StringComparison.Ordinal);
        using var other = State();
        Assert.Contains("position 1", Assert.Throws<InvalidOperationException>(() => other.CopyFrom(state, 1)).Message, StringComparison.Ordinal);
    }

    // The state is the branch itself, a letter an element, twice.
    private RecurrentState State() => new(_device, (1, 8), (8, 1));

    private void Pass(RecurrentState state, string letters, params (int Row, int Length, int Position)[] rows)
    {
        state.Pass([.. rows.Select(part => new LaneRows(part.Row, part.Length, part.Position))], (row, count, front, behind) =>
        {
            string branch = front is null ? "" : Text(front);
            for (int i = 0; i < count; i++) _seen.Add(branch += letters[row + i]);
            for (int tensor = 0; tensor < 2; tensor++)
            {
                var values = new float[8];
                for (int i = 0; i < branch.Length; i++) values[i] = branch[i];
                behind[tensor].CopyFrom(values);
            }
        });
    }

    private static string Text(Tensor[] state)
    {
        Assert.Equal(state[0].ToArray(), state[1].ToArray());
        return string.Concat(state[0].ToArray().TakeWhile(value => value != 0).Select(value => (char)value));
    }
}
