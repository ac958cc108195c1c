using System.Globalization;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;

namespace LowRankQuant.Tests.Formats;

/// <summary>One process writes an output; who does is said, and who is gone gives way.</summary>
public sealed class OutputLockTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string Output => _folder.File("out");

    private string LockFile => Path.Combine(Output, ".lrq", "lock");

    [Fact]
    public void TheSecondIsToldWhoHoldsTheOutput()
    {
        using (OutputLock held = OutputLock.TakeFolder(Output))
        {
            Assert.Null(held.TakenOver);
            string message = Assert.Throws<OutputLockedException>(() => OutputLock.TakeFolder(Output)).Message;
            Assert.StartsWith($"{Output} is held by process {Environment.ProcessId} on {Environment.MachineName} since {DateTime.UtcNow.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture)}", message, StringComparison.Ordinal);
            Assert.Contains("choose another `out`", message, StringComparison.Ordinal);
            Assert.DoesNotContain('\n', message);
            Assert.Equal(message, OutputLock.Conflict(Output));
        }
        Assert.Null(OutputLock.Conflict(Output));
        // What was made for the lock goes with it.
        Assert.False(Directory.Exists(Output));
        using OutputLock again = OutputLock.TakeFolder(Output);
        Assert.Null(again.TakenOver);
    }

    [Fact]
    public void WhatLiesInTheFolderStays()
    {
        Directory.CreateDirectory(Output);
        File.WriteAllText(Path.Combine(Output, "thesis.txt"), "years of work");
        OutputLock.TakeFolder(Output).Dispose();
        Assert.Equal(["thesis.txt"], Directory.EnumerateFileSystemEntries(Output).Select(Path.GetFileName));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void RunsAndExportsIntoOnePlaceSeeEachOther(bool runFirst)
    {
        using OutputLock first = runFirst ? OutputLock.TakeFolder(Output) : OutputLock.TakePlace(Output);
        Assert.Throws<OutputLockedException>(() => runFirst ? OutputLock.TakePlace(Output) : OutputLock.TakeFolder(Output));
        Assert.Throws<OutputLockedException>(() => OutputLock.TakePlace(Output + Path.DirectorySeparatorChar));
        using OutputLock elsewhere = OutputLock.TakePlace(Output + "2");
    }

    [Fact]
    public void ALinkLeadsToTheSameOutput()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Links need a right there.");
        Directory.CreateDirectory(Output);
        Directory.CreateSymbolicLink(_folder.File("link"), Output);
        using OutputLock held = OutputLock.TakePlace(Output);
        Assert.Throws<OutputLockedException>(() => OutputLock.TakePlace(_folder.File("link")));
        Assert.Throws<OutputLockedException>(() => OutputLock.TakeFolder(_folder.File("link")));
    }

    [Theory]
    [InlineData("process", 0x3fffffff)] // no system gives such a number
    [InlineData("start", "12")] // the number of a process that is gone was given to this one
    [InlineData("boot", "another boot")]
    public void AnOwnerThatIsGoneGivesWay(string key, object value)
    {
        Assert.SkipWhen(key == "boot" && !OperatingSystem.IsLinux(), "Only Linux names its boots.");
        Leave(owner => owner[key] = value is int number ? number : (string)value);
        Assert.Null(OutputLock.Conflict(Output));
        using OutputLock held = OutputLock.TakeFolder(Output);
        Assert.Contains("which is gone; going on in its place", held.TakenOver, StringComparison.Ordinal);
        Assert.Throws<OutputLockedException>(() => OutputLock.TakeFolder(Output));
    }

    [Fact]
    public void AnOwnerOnAnotherMachineCannotBeAskedAndTheRemedyIsNamed()
    {
        Leave(owner => owner["host"] = "elsewhere");
        string message = Assert.Throws<OutputLockedException>(() => OutputLock.TakeFolder(Output)).Message;
        Assert.Contains($"process {Environment.ProcessId} on elsewhere since", message, StringComparison.Ordinal);
        Assert.Contains($"or delete {LockFile} when it is certain", message, StringComparison.Ordinal);
        File.Delete(LockFile);
        using OutputLock held = OutputLock.TakeFolder(Output);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{\"id\":\"x\"}")]
    [InlineData("no JSON")]
    public void AFileThatNamesNobodyIsTakenOver(string contents)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(LockFile)!);
        File.WriteAllText(LockFile, contents);
        using OutputLock held = OutputLock.TakeFolder(Output);
        Assert.Contains("names nobody and was taken over", held.TakenOver, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task OfManyAtOnceOneGetsIt(bool leftByADeadOne)
    {
        for (int round = 0; round < 24; round++)
        {
            if (leftByADeadOne) Leave(owner => owner["start"] = "12");
            using var gate = new ManualResetEventSlim();
            Task<OutputLock?>[] all = [.. Enumerable.Range(0, 8).Select(_ => Task.Run(() =>
            {
                gate.Wait(TestContext.Current.CancellationToken);
                try
                {
                    return OutputLock.TakeFolder(Output);
                }
                catch (OutputLockedException)
                {
                    return null;
                }
            }, TestContext.Current.CancellationToken))];
            gate.Set();
            OutputLock?[] taken = await Task.WhenAll(all);
            Assert.Single(taken, one => one is not null);
            foreach (OutputLock? one in taken) one?.Dispose();
            Assert.False(File.Exists(LockFile));
        }
    }

    [Fact]
    public void AFileInTheWayIsNamed()
    {
        File.WriteAllText(Output, "x");
        Assert.Contains($"{Output} cannot be written", Assert.Throws<IOException>(() => OutputLock.TakeFolder(Output)).Message, StringComparison.Ordinal);
        Assert.Contains("choose another `out`", Assert.Throws<IOException>(() => OutputLock.TakeFolder(Path.Combine(Output, "within"))).Message, StringComparison.Ordinal);
    }

    // What a process of another kind has left: this one's, altered.
    private void Leave(Action<JsonObject> alter)
    {
        string text;
        using (OutputLock.TakeFolder(Output)) text = File.ReadAllText(LockFile);
        JsonObject owner = JsonNode.Parse(text)!.AsObject();
        alter(owner);
        Directory.CreateDirectory(Path.GetDirectoryName(LockFile)!);
        File.WriteAllText(LockFile, owner.ToJsonString());
    }
}
