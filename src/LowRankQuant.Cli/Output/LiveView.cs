using LowRankQuant.Quantization.Methods;
using Spectre.Console;

namespace LowRankQuant.Cli.Output;

/// <summary>Progress bars at the bottom of a terminal, lines that stay above them.</summary>
internal sealed class LiveView : IRunView
{
    private readonly IAnsiConsole _console;
    private readonly TaskCompletionSource _finished = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<ProgressContext> _started = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _display;
    private ProgressTask? _stage;
    private ProgressTask? _blocks;
    private ProgressTask? _steps;
    private string _stageName = "";

    public LiveView(TextWriter writer)
    {
        _console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(writer), Ansi = AnsiSupport.Yes, Interactive = InteractionSupport.Yes });
        Progress progress = _console.Progress().AutoClear(true).HideCompleted(true).Columns(
            new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn());
        _display = progress.StartAsync(async context =>
        {
            _started.SetResult(context);
            await _finished.Task.ConfigureAwait(false);
        });
    }

    private ProgressContext Context => _started.Task.GetAwaiter().GetResult();

    public void Line(string text) => _console.WriteLine(text);

    public void Passing(string text)
    {
        // The bars say it already.
    }

    public void Stage(string name)
    {
        _stage?.StopTask();
        if (_stage is not null) _stage.Value = _stage.MaxValue;
        _stage = null;
        _stageName = name;
    }

    public void BeginBlocks(int blocks)
    {
        _blocks = Context.AddTask("blocks", maxValue: Math.Max(1, blocks));
        _steps = Context.AddTask("block 1");
    }

    public void Step(BlockProgress step, string left)
    {
        if (_steps is null) return;
        _steps.MaxValue = Math.Max(1, step.Steps);
        _steps.Value = Math.Min(step.Step, _steps.MaxValue - 0.001);
        _steps.Description = Markup.Escape($"block {step.Block + 1}  loss {Format.Number(step.Loss)}");
        if (_blocks is not null) _blocks.Description = Markup.Escape(left.Length == 0 ? "blocks" : $"blocks  {left}");
    }

    public void BlocksDone(int done)
    {
        if (_blocks is null || _steps is null) return;
        _blocks.Value = done;
        _steps.Value = 0;
        _steps.Description = $"block {done + 1}";
        if (_blocks.Value < _blocks.MaxValue) return;
        _steps.Value = _steps.MaxValue;
        (_blocks, _steps) = (null, null);
    }

    public void Progress(long done, long total)
    {
        _stage ??= Context.AddTask(Markup.Escape(_stageName), maxValue: Math.Max(1, total));
        _stage.MaxValue = Math.Max(1, total);
        _stage.IsIndeterminate = total == 0;
        _stage.Value = done;
    }

    public void Dispose()
    {
        _finished.TrySetResult();
        _display.GetAwaiter().GetResult();
    }
}
